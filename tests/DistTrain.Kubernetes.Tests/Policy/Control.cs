using DistTrain.Kubernetes.Tests.Objects;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Policy;

/// <summary>A change that breaks a rule.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Break">Does it to a set that is in order.</param>
/// <param name="Finding">What the rule has to say then.</param>
/// <param name="Set">The set.</param>
internal sealed record Control(Rule Rule, Action<ManifestSet> Break, string Finding, string Set = "base")
{
    public static IReadOnlyList<Control> All { get; } =
    [
        // The pod.
        new(PodSecurity.NobodyIsRoot, set => Worker(set).SecurityContext.RunAsUser = 0, "Deployment disttrain-worker, container worker: runAsUser"),
        new(PodSecurity.NobodyIsRoot, set => Coordinator(set).SecurityContext.RunAsNonRoot = null, "container coordinator: runAsNonRoot"),
        new(PodSecurity.NobodyIsRoot, set => Container(set).SecurityContext.RunAsNonRoot = false, "runAsNonRoot"),
        new(PodSecurity.NothingIsPrivileged, set => Container(set).SecurityContext.Privileged = true, "privileged"),
        new(PodSecurity.NothingOfTheHost, set => Worker(set).HostNetwork = true, "namespace of the host"),
        new(PodSecurity.NothingOfTheHost, set => Container(set).Ports[0].HostPort = 80, "port of the host"),
        new(PodSecurity.NothingOfTheHost, set => Worker(set).Volumes.Add(new V1Volume { Name = "root", HostPath = new V1HostPathVolumeSource { Path = "/" } }), "volume root"),
        new(PodSecurity.NoEscalation, set => Container(set).SecurityContext.AllowPrivilegeEscalation = null, "allowPrivilegeEscalation"),
        new(PodSecurity.ReadOnlyRoot, set => Container(set).SecurityContext.ReadOnlyRootFilesystem = false, "readOnlyRootFilesystem"),
        new(PodSecurity.NoCapabilities, set => Container(set).SecurityContext.Capabilities.Add = ["NET_ADMIN"], "adds capabilities"),
        new(PodSecurity.NoCapabilities, set => Container(set).SecurityContext.Capabilities = null, "does not drop ALL"),
        new(PodSecurity.Seccomp, set => Worker(set).SecurityContext.SeccompProfile = new V1SeccompProfile { Type = "Unconfined" }, "seccompProfile"),
        new(PodSecurity.TokensWhereNeeded, set => set.Objects.RemoveAll(o => o is V1RoleBinding), "has no role"),
        new(PodSecurity.TokensWhereNeeded, set => set.Find<V1ServiceAccount>("disttrain-worker")!.AutomountServiceAccountToken = null, "token everywhere"),
        new(PodSecurity.NoServiceLinks, set => Worker(set).EnableServiceLinks = null, "enableServiceLinks"),
        new(PodSecurity.SmallRoles, set => set.Find<V1Role>("disttrain-coordinator")!.Rules[0].ResourceNames = null, "get,patch of deployments/scale is not limited"),
        new(PodSecurity.SmallRoles, set => set.Find<V1Role>("disttrain-worker")!.Rules[^1].Verbs = ["*"], "* of events is not limited"),

        // The container.
        new(Containers.ImagesAreNamed, set => Container(set).Image = "disttrain:latest", "pushed last"),
        new(Containers.ImagesAreNamed, set => Container(set).Image = "registry:5000/disttrain", "no tag"),
        new(Containers.PullsAreStated, set => Container(set).ImagePullPolicy = null, "imagePullPolicy"),
        new(Containers.ResourcesAreSet, set => Container(set).Resources.Limits.Remove("memory"), "no limit of memory"),
        new(Containers.ResourcesAreSet, set => Container(set).Resources.Requests.Remove("cpu"), "requests no cpu"),
        new(Containers.ResourcesAreSet, set => Container(set).Resources.Requests["memory"] = new ResourceQuantity("3Gi"), "more memory than its limit"),
        new(Containers.DevicesAreWhole, set => Container(set).Resources.Requests.Remove("nvidia.com/gpu"), "nvidia.com/gpu differs", "gpu"),
        new(Containers.ProbesAreSet, set => Container(set).LivenessProbe = null, "/live is not asked"),
        new(Containers.ProbesAreSet, set => Container(set).ReadinessProbe.HttpGet.Path = "/live", "/ready is asked at /live"),
        new(Containers.ProbesAreSet, set => Container(set).StartupProbe.HttpGet.Port = "peers", "not the health port"),
        new(Containers.ProbesAreSet, set => Replace(set, "0.0.0.0:8080", "0.0.0.0:8081"), "--health is 0.0.0.0:8081"),
        new(Containers.NoSecrets, set => Container(set).Env.Add(new V1EnvVar { Name = "HUB_TOKEN", Value = "abc" }), "HUB_TOKEN looks like a secret"),
        new(Containers.NoSecrets, set => Container(set).Env.Add(new V1EnvVar { Name = "SOURCE", Value = "https://me:mine@example.org/data" }), "SOURCE looks like a secret"),
        new(Containers.NoSecrets, set => Container(set).Args.Add("--password=mine"), "argument looks like a secret"),
        new(Containers.NoSecrets, set => Configuration(set).Data["run.yaml"] += "\ndata:\n  password: mine\n", "run.yaml looks as if"),
        new(Containers.ArgumentsAreKnown, set => Replace(set, "--stay", "--remain"), "--remain"),
        new(Containers.ArgumentsAreKnown, set => Replace(set, "worker", "wroker"), "'wroker' is no verb"),
        new(Containers.OnlyVolumesAreWritten, set => Container(set).VolumeMounts.Clear(), "/tmp is in no volume"),
        new(Containers.OnlyVolumesAreWritten, set => Container(set).Env[0].Value = "/home/nobody", "/home/nobody is in no volume"),

        // The network.
        new(Networks.PodsAreClosed, set => Policy(set).Spec.PolicyTypes = ["Egress"], "no NetworkPolicy"),
        new(Networks.PortsAreCovered, set => Policy(set).Spec.Ingress.RemoveAt(0), "port peers (5401)"),
        new(Networks.PortsAreCovered, set => Container(set).Ports.Add(new V1ContainerPort { Name = "debug", ContainerPort = 9000 }), "port debug (9000)"),
        new(Networks.OpenPortsExist, set => Policy(set).Spec.Ingress[0].Ports.Add(new V1NetworkPolicyPort { Port = 22, Protocol = "TCP" }), "port 22"),
        new(Networks.ServicePortsAreCovered, set => set.Of<V1Service>().Single().Spec.Ports[0].TargetPort = "peers", "port grpc (5400)"),
        new(Networks.NobodyElse, set => Policy(set).Spec.Ingress[1].FromProperty = null, "lets everybody in"),
        new(Networks.OnlyWorkersTrain, set => Policy(set).Spec.Ingress[0].FromProperty[0].PodSelector.MatchLabels.Clear(), "port peers is open to pods that are no workers"),
        new(Networks.OnlyWorkersTrain, set => Policy(set).Spec.Ingress[0].FromProperty[0].NamespaceSelector = new V1LabelSelector(), "port peers is open to other namespaces"),

        // Labels and selectors.
        new(Labels.AreComplete, set => Configuration(set).Metadata.Labels.Remove(Labels.PartOf), "ConfigMap disttrain-configuration: label app.kubernetes.io/part-of"),
        new(Labels.AreComplete, set => Deployment(set).Spec.Template.Metadata.Labels[Labels.Version] = "0.0.9", "its pod: label app.kubernetes.io/version is '0.0.9'"),
        new(Labels.SelectorsMatch, set => set.Of<V1PodDisruptionBudget>().Single().Spec.Selector.MatchLabels[Labels.Component] = "wroker", "matches no pod"),
        new(Labels.SelectorsMatch, set => set.Of<V1Service>().Single().Spec.Selector[Labels.Version] = "0.1.0", "selector is"),
        new(Labels.OwnPodsAreSelected, set => Deployment(set).Spec.Template.Metadata.Labels[Labels.Instance] = "other", "does not select its own pods"),
        new(Labels.OwnPodsAreSelected, set => Worker(set).TopologySpreadConstraints[0].LabelSelector.MatchLabels[Labels.Component] = "coordinator", "spreads over"),
        new(Labels.NamesAreUnique, set => set.Objects.Add(set.Objects[0]), "is there 2 times"),
        new(Labels.NamesAreUnique, set => set.Objects[0].Metadata.NamespaceProperty = "default", "namespace default"),

        // What refers to what.
        new(References.VolumesExist, set => Configuration(set).Metadata.Name = "other", "'disttrain-configuration', which is not there"),
        new(References.VolumesExist, set => set.Objects.RemoveAll(o => o is V1PersistentVolumeClaim), "'disttrain-run', which is not there"),
        new(References.VolumesExist, set => Worker(set).Volumes.Clear(), "mounts 'temporary'"),
        new(References.AccountsExist, set => set.Objects.RemoveAll(o => o is V1ServiceAccount), "service account 'disttrain-worker' is not there"),
        new(References.AccountsExist, set => set.Objects.RemoveAll(o => o is V1Role), "binds what is not there"),
        new(References.AccountsExist, set => set.Objects.RemoveAll(o => o is V1RoleBinding), "is bound to nobody"),
        new(References.RolesAreAboutSomething, set => Deployment(set).Metadata.Name = "workers", "deployments/scale 'disttrain-worker' is not there"),
        new(References.ArgumentsExist, set => Deployment(set).Metadata.Name = "workers", "--scale-down disttrain-worker is no Deployment"),
        new(References.ArgumentsExist, set => set.Of<V1Job>().Single().Metadata.Name = "other", "--job disttrain-coordinator is no Job"),
        new(References.ArgumentsExist, set => set.Of<V1Service>().Single().Spec.Ports[0].Port = 80, "is no Service"),
        new(References.ArgumentsExist, set => set.Find<V1Role>("disttrain-coordinator")!.Rules[0].Verbs = ["get"], "may not scale disttrain-worker"),
        new(References.ArgumentsExist, set => set.Find<V1Role>("disttrain-worker")!.Rules.RemoveAt(1), "may not ask for disttrain-coordinator"),
        new(References.ArgumentsExist, set => Configuration(set).Data.Remove("run.yaml"), "/etc/disttrain/run.yaml is in no ConfigMap"),
        new(References.ArgumentsExist, set => Replace(set, "0.0.0.0:5401", "0.0.0.0:5402"), "is not its port peers"),
        new(References.VariablesExist, set => Container(set).Env.RemoveAt(1), "$(POD_IP) is not among"),
        new(References.ProbePortsExist, set => Container(set).LivenessProbe.HttpGet.Port = 9999, "port 9999 of a probe"),
        new(References.QueuesExist, set => set.Of<LocalQueue>().Single().Metadata.Name = "other", "leads to no quota", "kueue"),
        new(References.QueuesExist, set => set.Of<ClusterQueue>().Single().Spec.ResourceGroups[0].CoveredResources.Remove("nvidia.com/gpu"), "no quota of nvidia.com/gpu", "gpu-kueue"),
        new(References.QueuesExist, set => set.Objects.RemoveAll(o => o is ResourceFlavor), "flavor that is not there", "kueue"),
        new(References.ScrapesExist, set => set.Of<PodMonitor>().Single().Spec.PodMetricsEndpoints[0].Port = "metrics", "port 'metrics' is missing", "monitoring"),

        // Beginning and end.
        new(Lifecycle.CoordinatorsAreReplaced, set => Job(set).PodFailurePolicy.Rules.RemoveAt(0), "goes on after exit code 2"),
        new(Lifecycle.CoordinatorsAreReplaced, set => Job(set).PodFailurePolicy.Rules.RemoveAt(1), "counts evictions"),
        new(Lifecycle.CoordinatorsAreReplaced, set => Job(set).PodFailurePolicy.Rules.RemoveAt(2), "that it was asked to end"),
        new(Lifecycle.CoordinatorsAreReplaced, set => Job(set).Template.Spec.RestartPolicy = "OnFailure", "restarts in its pod"),
        new(Lifecycle.CoordinatorsAreReplaced, set => Job(set).TtlSecondsAfterFinished = 60, "by a clock"),
        new(Lifecycle.WorkersNeedNoSpare, set => Deployment(set).Spec.Strategy.RollingUpdate.MaxSurge = 1, "before old ones go"),
        new(Lifecycle.WorkersNeedNoSpare, set => set.Of<V1PodDisruptionBudget>().Single().Spec.MaxUnavailable = 1, "from being evicted"),
        new(Lifecycle.WorkersAreSpread, set => Worker(set).TopologySpreadConstraints[0].WhenUnsatisfiable = "DoNotSchedule", "do not spread"),
        new(Lifecycle.VolumesAreKept, set => set.Of<V1PersistentVolumeClaim>().Single().Spec.AccessModes = ["ReadWriteMany"], "ReadWriteOnce"),
        new(Lifecycle.VolumesAreKept, set => Coordinator(set).Volumes[0].PersistentVolumeClaim = null, "gone with its pod"),
        new(Lifecycle.VolumesAreKept, set => Worker(set).Volumes[0].PersistentVolumeClaim = new V1PersistentVolumeClaimVolumeSource { ClaimName = "disttrain-run" }, "may write the run's folder"),
        new(Lifecycle.EndsHaveTime, set => Coordinator(set).TerminationGracePeriodSeconds = 10, "has 10 s to end"),
        new(Lifecycle.EndsHaveTime, set => Configuration(set).Data["run.yaml"] = "failureDetection: 60s", "needs 300 s"),
        new(Lifecycle.StartsHaveTime, set => Container(set).StartupProbe.FailureThreshold = 3, "to start"),
        new(Lifecycle.LivenessIsLast, set => Container(set).LivenessProbe.FailureThreshold = 1, "is ended after 10 s"),
        new(Lifecycle.ReadinessIsQuick, set => Container(set).ReadinessProbe.PeriodSeconds = null, "every 10 s"),

        // Versions.
        new(Versions.AreServed, set => set.Of<V1PodDisruptionBudget>().Single().ApiVersion = "policy/v1beta1", "policy/v1beta1"),
        new(Versions.FieldsAreOld, set => set.Of<V1PodDisruptionBudget>().Single().Spec.UnhealthyPodEvictionPolicy = "AlwaysAllow", "1.26"),
        new(Versions.FieldsAreOld, set => Job(set).PodReplacementPolicy = "Failed", "Job"),
        new(Versions.FieldsAreOld, set => Worker(set).SchedulingGates = [new V1PodSchedulingGate { Name = "wait" }], "pod came after"),
        new(Versions.FieldsAreOld, set => Container(set).RestartPolicy = "Always", "container came after"),
    ];

    private static V1Deployment Deployment(ManifestSet set) => set.Of<V1Deployment>().Single();

    private static V1JobSpec Job(ManifestSet set) => set.Of<V1Job>().Single().Spec;

    private static V1PodSpec Worker(ManifestSet set) => Deployment(set).Spec.Template.Spec;

    private static V1PodSpec Coordinator(ManifestSet set) => Job(set).Template.Spec;

    private static V1Container Container(ManifestSet set) => Worker(set).Containers.Single();

    private static V1ConfigMap Configuration(ManifestSet set) => set.Of<V1ConfigMap>().Single();

    private static V1NetworkPolicy Policy(ManifestSet set) => set.Find<V1NetworkPolicy>("disttrain-worker")!;

    private static void Replace(ManifestSet set, string word, string with)
    {
        var arguments = Container(set).Args;
        arguments[arguments.IndexOf(word)] = with;
    }
}
