using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Objects;

/// <summary>The objects of one rendered overlay, read as strictly as a server reads them: an unknown field or kind is an error.</summary>
/// <param name="Name">The overlay's name.</param>
/// <param name="Objects">Its objects, in their order.</param>
internal sealed record ManifestSet(string Name, List<IKubernetesObject<V1ObjectMeta>> Objects)
{
    private static readonly Dictionary<string, Type> CustomTypes = new()
    {
        ["jobset.x-k8s.io/v1alpha2/JobSet"] = typeof(JobSet),
        ["kueue.x-k8s.io/v1beta1/LocalQueue"] = typeof(LocalQueue),
        ["kueue.x-k8s.io/v1beta1/ClusterQueue"] = typeof(ClusterQueue),
        ["kueue.x-k8s.io/v1beta1/ResourceFlavor"] = typeof(ResourceFlavor),
        ["monitoring.coreos.com/v1/PodMonitor"] = typeof(PodMonitor),
        ["monitoring.coreos.com/v1/PrometheusRule"] = typeof(PrometheusRule),
    };

    /// <summary>The folder of what kubectl rendered.</summary>
    public static string Folder { get; } = Path.Combine(AppContext.BaseDirectory, "Rendered");

    /// <summary>Every rendered set: the base, each overlay, the reader.</summary>
    public static IReadOnlyList<string> Names { get; } =
        [.. Directory.EnumerateFiles(Folder, "*.yaml").Select(path => Path.GetFileNameWithoutExtension(path)).Order(StringComparer.Ordinal)];

    /// <summary>Reads a rendered set.</summary>
    public static ManifestSet Read(string name) => Parse(name, File.ReadAllText(PathOf(name)));

    /// <summary>Where a rendered set lies.</summary>
    public static string PathOf(string name) => Path.Combine(Folder, $"{name}.yaml");

    /// <summary>Reads objects.</summary>
    public static ManifestSet Parse(string name, string yaml) =>
        new(name, [.. KubernetesYaml.LoadAllFromString(yaml, CustomTypes, strict: true).Cast<IKubernetesObject<V1ObjectMeta>>()]);

    /// <summary>The objects of a type.</summary>
    public IEnumerable<T> Of<T>() => Objects.OfType<T>();

    /// <summary>The one object of a type and name; null where there is none.</summary>
    public T? Find<T>(string? name)
        where T : class, IKubernetesObject<V1ObjectMeta> => Of<T>().SingleOrDefault(o => o.Metadata.Name == name);

    /// <summary>The jobs, those of a JobSet included.</summary>
    public IEnumerable<(string Owner, V1JobSpec Spec)> Jobs =>
    [
        .. Of<V1Job>().Select(job => (OwnerName(job), job.Spec)),
        .. from set in Of<JobSet>() from job in set.Spec.ReplicatedJobs select ($"{OwnerName(set)}, {job.Name}", job.Template.Spec),
    ];

    /// <summary>Every pod that these objects lead to.</summary>
    public IEnumerable<PodOf> Pods =>
    [
        .. Of<V1Pod>().Select(pod => new PodOf(pod, OwnerName(pod), pod.Metadata, pod.Spec)),
        .. Of<V1Deployment>().Select(owner => new PodOf(owner, OwnerName(owner), owner.Spec.Template.Metadata, owner.Spec.Template.Spec)),
        .. Of<V1Job>().Select(owner => new PodOf(owner, OwnerName(owner), owner.Spec.Template.Metadata, owner.Spec.Template.Spec)),
        .. from set in Of<JobSet>()
           from job in set.Spec.ReplicatedJobs
           select new PodOf(set, $"{OwnerName(set)}, {job.Name}", job.Template.Spec.Template.Metadata, job.Template.Spec.Template.Spec),
    ];

    /// <summary>Every container of every pod.</summary>
    public IEnumerable<ContainerOf> Containers =>
        from pod in Pods
        from container in pod.Spec.Containers.Concat(pod.Spec.InitContainers ?? [])
        select new ContainerOf(pod, container);

    /// <summary>An object as people name it.</summary>
    public static string OwnerName(IKubernetesObject<V1ObjectMeta> of) => $"{of.Kind} {of.Metadata.Name}";
}

/// <summary>A pod that an object leads to.</summary>
/// <param name="Owner">The object.</param>
/// <param name="Name">How it is named in a finding.</param>
/// <param name="Metadata">The pod's own metadata.</param>
/// <param name="Spec">What it runs.</param>
internal sealed record PodOf(IKubernetesObject<V1ObjectMeta> Owner, string Name, V1ObjectMeta Metadata, V1PodSpec Spec);

/// <summary>A container of a pod.</summary>
/// <param name="Pod">The pod.</param>
/// <param name="Spec">The container.</param>
internal sealed record ContainerOf(PodOf Pod, V1Container Spec)
{
    /// <summary>How it is named in a finding.</summary>
    public string Name => $"{Pod.Name}, container {Spec.Name}";

    /// <summary>Its command and arguments.</summary>
    public IEnumerable<string> Words => (Spec.Command ?? []).Concat(Spec.Args ?? []);

    /// <summary>What follows an option in its arguments; null where the option is not given.</summary>
    public string? Argument(string option)
    {
        var arguments = Spec.Args ?? [];
        var at = arguments.IndexOf(option);
        return at >= 0 && at + 1 < arguments.Count ? arguments[at + 1] : null;
    }

    /// <summary>Whether it runs the program of this repository.</summary>
    public bool RunsProgram => Spec.Command is ["disttrain"];
}

/// <summary>Label selectors.</summary>
internal static class LabelSelectors
{
    /// <summary>The value of a label; null where there is none.</summary>
    public static string? ValueOf(this IDictionary<string, string>? labels, string key) => labels is not null && labels.TryGetValue(key, out var value) ? value : null;

    /// <summary>Whether labels are selected by equality; a selector without labels selects all.</summary>
    public static bool Selects(this IDictionary<string, string>? selector, IDictionary<string, string>? labels) =>
        (selector ?? new Dictionary<string, string>()).All(wanted => labels.ValueOf(wanted.Key) == wanted.Value);

    /// <summary>Whether labels are selected. Selectors by expression are not used here, and select nothing.</summary>
    public static bool Selects(this V1LabelSelector? selector, IDictionary<string, string>? labels) =>
        selector is not null && selector.MatchExpressions is not { Count: > 0 } && selector.MatchLabels.Selects(labels);
}
