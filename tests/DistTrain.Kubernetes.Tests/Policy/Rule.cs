using DistTrain.Kubernetes.Tests.Objects;

namespace DistTrain.Kubernetes.Tests.Policy;

/// <summary>One sentence of the policy, and how it is checked.</summary>
/// <param name="Sentence">What holds for every set of manifests.</param>
/// <param name="Find">Says of each thing that breaks it what it is, and what is wrong with it.</param>
internal sealed record Rule(string Sentence, Func<ManifestSet, IEnumerable<string>> Find)
{
    /// <summary>The whole policy.</summary>
    public static IReadOnlyList<Rule> All { get; } =
    [
        .. PodSecurity.Rules,
        .. Containers.Rules,
        .. Networks.Rules,
        .. Labels.Rules,
        .. References.Rules,
        .. Lifecycle.Rules,
        .. Versions.Rules,
    ];

    /// <summary>A rule about every container.</summary>
    public static Rule OfContainers(string sentence, Func<ContainerOf, string?> wrong) =>
        new(sentence, set => from container in set.Containers let what = wrong(container) where what is not null select $"{container.Name}: {what}");

    /// <summary>A rule about every pod.</summary>
    public static Rule OfPods(string sentence, Func<PodOf, string?> wrong) =>
        new(sentence, set => from pod in set.Pods let what = wrong(pod) where what is not null select $"{pod.Name}: {what}");
}
