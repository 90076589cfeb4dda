using DistTrain.Kubernetes.Tests.Objects;
using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Policy;

/// <summary>Every name that an object mentions is that of an object which is there.</summary>
internal static class References
{
    public static Rule VolumesExist { get; } = new("every volume is of a ConfigMap or claim of the set, and every mount of a volume of its pod", set =>
    [
        .. from pod in set.Pods
           from volume in pod.Spec.Volumes ?? []
           where (volume.ConfigMap is { } map && set.Find<V1ConfigMap>(map.Name) is null)
              || (volume.PersistentVolumeClaim is { } claim && !IsClaimed(set, claim.ClaimName))
           select $"{pod.Name}: volume {volume.Name} is of '{volume.ConfigMap?.Name ?? volume.PersistentVolumeClaim.ClaimName}', which is not there",
        .. from container in set.Containers
           from mount in container.Spec.VolumeMounts ?? []
           where !(container.Pod.Spec.Volumes ?? []).Any(volume => volume.Name == mount.Name)
           select $"{container.Name}: mounts '{mount.Name}', which is no volume of its pod",
    ]);

    public static Rule AccountsExist { get; } = new("every account, role and subject of a binding is there", set =>
    [
        .. from pod in set.Pods
           where set.Find<V1ServiceAccount>(pod.Spec.ServiceAccountName) is null
           select $"{pod.Name}: service account '{pod.Spec.ServiceAccountName}' is not there",
        .. from binding in set.Of<V1RoleBinding>()
           where binding.RoleRef.Kind != "Role" || set.Find<V1Role>(binding.RoleRef.Name) is null
              || binding.Subjects.Any(subject => subject.Kind != "ServiceAccount" || set.Find<V1ServiceAccount>(subject.Name) is null)
           select $"RoleBinding {binding.Metadata.Name}: binds what is not there",
        .. from role in set.Of<V1Role>()
           where !set.Of<V1RoleBinding>().Any(binding => binding.RoleRef.Name == role.Metadata.Name)
           select $"Role {role.Metadata.Name}: is bound to nobody",
    ]);

    public static Rule RolesAreAboutSomething { get; } = new("every name in a role is that of an object", set =>
        from role in set.Of<V1Role>()
        from rule in role.Rules
        from resource in rule.Resources
        from name in rule.ResourceNames ?? []
        where resource switch
        {
            "deployments/scale" => !HasWorkers(set, name),
            "jobs" => set.Find<V1Job>(name) is null,
            _ => true,
        }
        select $"Role {role.Metadata.Name}: {resource} '{name}' is not there");

    public static Rule ArgumentsExist { get; } = new("every object that an argument names is there, and may be used by the pod", set =>
        from container in set.Containers
        where container.RunsProgram
        from wrong in WrongArguments(set, container)
        select $"{container.Name}: {wrong}");

    public static Rule VariablesExist { get; } = Rule.OfContainers("every variable in an argument is one of the container", container =>
        (from word in container.Words
         from part in word.Split("$(").Skip(1)
         let variable = part.Split(')')[0]
         where container.Spec.Env?.Any(e => e.Name == variable) != true
         select $"$({variable}) is not among its variables").FirstOrDefault());

    public static Rule ProbePortsExist { get; } = Rule.OfContainers("every probe asks a port of its container", container =>
        new[] { container.Spec.StartupProbe, container.Spec.ReadinessProbe, container.Spec.LivenessProbe }
            .Select(probe => probe?.HttpGet?.Port.ToString())
            .FirstOrDefault(port => port is not null && container.Spec.Ports?.Any(p => p.Name == port || $"{p.ContainerPort}" == port) != true)
            is { } port ? $"port {port} of a probe is not among its ports" : null);

    public static Rule QueuesExist { get; } = new("every queue that an object waits in is there, and its quota covers what the pods request", set =>
        from item in set.Objects
        let name = item.Metadata.Labels.ValueOf(LocalQueue.Label)
        where name is not null
        let wrong = WrongQueue(set, item, name)
        where wrong is not null
        select $"{ManifestSet.OwnerName(item)}: {wrong}");

    public static Rule ScrapesExist { get; } = new("what is scraped is a port that pods of the set have", set =>
        from monitor in set.Of<PodMonitor>()
        from endpoint in monitor.Spec.PodMetricsEndpoints
        let pods = set.Pods.Where(pod => monitor.Spec.Selector.Selects(pod.Metadata.Labels)).ToList()
        where pods.Count == 0 || pods.Any(pod => !pod.Spec.Containers.Any(c => c.Ports?.Any(p => p.Name == endpoint.Port) == true))
        select $"PodMonitor {monitor.Metadata.Name}: port '{endpoint.Port}' is missing at a pod that it selects");

    public static IReadOnlyList<Rule> Rules { get; } =
        [VolumesExist, AccountsExist, RolesAreAboutSomething, ArgumentsExist, VariablesExist, ProbePortsExist, QueuesExist, ScrapesExist];

    private static string? WrongQueue(ManifestSet set, IKubernetesObject<V1ObjectMeta> item, string queue)
    {
        if (set.Find<ClusterQueue>(set.Find<LocalQueue>(queue)?.Spec.ClusterQueue) is not { } quota)
        {
            return $"queue '{queue}' leads to no quota";
        }

        var covered = quota.Spec.ResourceGroups.SelectMany(group => group.CoveredResources).ToHashSet();
        var requested = from pod in set.Pods where pod.Owner == item from container in pod.Spec.Containers from name in container.Resources.Requests.Keys select name;
        return requested.FirstOrDefault(name => !covered.Contains(name)) is { } resource ? $"queue '{queue}' has no quota of {resource}"
            : quota.Spec.ResourceGroups.Any(group => group.Flavors.Any(flavor => set.Find<ResourceFlavor>(flavor.Name) is null
                || !flavor.Resources.Select(r => r.Name).SequenceEqual(group.CoveredResources)))
                ? $"quota '{quota.Metadata.Name}' has a flavor that is not there, or not of all its resources"
            : null;
    }

    private static IEnumerable<string> WrongArguments(ManifestSet set, ContainerOf container)
    {
        if (container.Argument("--coordinator") is { } address)
        {
            var uri = new Uri(address);
            if (set.Find<V1Service>(uri.Host)?.Spec.Ports.Any(port => port.Port == uri.Port) != true)
            {
                yield return $"--coordinator {address} is no Service";
            }
        }

        if (container.Argument("--scale-down") is { } deployment)
        {
            if (!HasWorkers(set, deployment))
            {
                yield return $"--scale-down {deployment} is no Deployment";
            }
            else if (!May(set, container, "patch", "deployments/scale", deployment))
            {
                yield return $"may not scale {deployment}";
            }
        }

        if (container.Argument("--job") is { } job)
        {
            if (set.Find<V1Job>(job) is null)
            {
                yield return $"--job {job} is no Job";
            }
            else if (!May(set, container, "get", "jobs", job))
            {
                yield return $"may not ask for {job}";
            }
        }

        if (container.Spec.Args?.ElementAtOrDefault(1) is { } file && file.StartsWith('/') && !IsMounted(set, container, file))
        {
            yield return $"{file} is in no ConfigMap that it mounts";
        }

        foreach (var (option, port) in new[] { ("--listen", "grpc"), ("--listen", "peers"), ("--advertise", "peers"), ("--health", "health") })
        {
            if (container.Argument(option) is { } listens && container.Spec.Ports?.SingleOrDefault(p => p.Name == port) is { } stated
                && !listens.EndsWith($":{stated.ContainerPort}", StringComparison.Ordinal))
            {
                yield return $"{option} {listens} is not its port {port} ({stated.ContainerPort})";
            }
        }
    }

    /// <summary>
    /// A JobSet ends its workers itself. Its coordinator is told that there is no such Deployment, and is content; it needs the option for its exit codes.
    /// </summary>
    private static bool HasWorkers(ManifestSet set, string deployment) => set.Find<V1Deployment>(deployment) is not null || set.Of<JobSet>().Any();

    private static bool May(ManifestSet set, ContainerOf container, string verb, string resource, string name) =>
        (from binding in set.Of<V1RoleBinding>()
         where binding.Subjects.Any(subject => subject.Name == container.Pod.Spec.ServiceAccountName)
         from rule in set.Find<V1Role>(binding.RoleRef.Name)?.Rules ?? []
         where rule.Verbs.Contains(verb) && rule.Resources.Contains(resource) && rule.ResourceNames?.Contains(name) == true
         select rule).Any();

    private static bool IsMounted(ManifestSet set, ContainerOf container, string file) =>
        (from mount in container.Spec.VolumeMounts ?? []
         where Path.GetDirectoryName(file) == mount.MountPath.TrimEnd('/')
         join volume in container.Pod.Spec.Volumes ?? [] on mount.Name equals volume.Name
         where volume.ConfigMap is not null && set.Find<V1ConfigMap>(volume.ConfigMap.Name)?.Data?.ContainsKey(Path.GetFileName(file)) == true
         select volume).Any();

    /// <summary>The reader takes the claim of a run that is there already.</summary>
    private static bool IsClaimed(ManifestSet set, string claim) =>
        set.Find<V1PersistentVolumeClaim>(claim) is not null || (set.Name == "reader" && ManifestSet.Read("base").Find<V1PersistentVolumeClaim>(claim) is not null);
}
