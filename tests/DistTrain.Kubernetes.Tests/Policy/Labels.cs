using DistTrain.Kubernetes.Tests.Objects;
using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Policy;

/// <summary>Labels as kubectl users expect them, and selectors that match what they are meant for.</summary>
internal static class Labels
{
    public const string Component = "app.kubernetes.io/component";
    public const string Instance = "app.kubernetes.io/instance";
    public const string Name = "app.kubernetes.io/name";
    public const string PartOf = "app.kubernetes.io/part-of";
    public const string Version = "app.kubernetes.io/version";

    private static readonly string[] OfSelectors = [Component, Instance, Name];

    public static Rule AreComplete { get; } = new("every object and every pod has the recommended labels, of one run and of this version", set =>
        from labeled in set.Objects.Select(o => (ManifestSet.OwnerName(o), o.Metadata)).Concat(set.Pods.Select(p => ($"{p.Name}, its pod", p.Metadata)))
        from wanted in new (string Key, string? Value)[] { (Name, "disttrain"), (PartOf, "disttrain"), (Instance, "disttrain"), (Component, null), (Version, ProgramVersion) }
        let found = labeled.Metadata.Labels.ValueOf(wanted.Key)
        where string.IsNullOrEmpty(found) || (wanted.Value is not null && found != wanted.Value)
        select $"{labeled.Item1}: label {wanted.Key} is '{found}'{(wanted.Value is null ? "" : $", not '{wanted.Value}'")}");

    public static Rule SelectorsMatch { get; } = new("every selector matches a pod of the set, by name and run, or component besides", set =>
        from selector in Selectors(set)
        let wrong = selector.By is null || !selector.By.ContainsKey(Name) || !selector.By.ContainsKey(Instance) || selector.By.Keys.Except(OfSelectors).Any()
                ? $"is {string.Join(",", selector.By?.Keys ?? [])}"
            : !set.Pods.Any(pod => selector.By.Selects(pod.Metadata.Labels)) ? "matches no pod"
            : null
        where wrong is not null
        select $"{selector.Of}: selector {wrong}");

    public static Rule OwnPodsAreSelected { get; } = new("a Deployment selects its own pods, and they spread among themselves", set =>
    [
        .. from deployment in set.Of<V1Deployment>()
           where !deployment.Spec.Selector.Selects(deployment.Spec.Template.Metadata.Labels)
           select $"{ManifestSet.OwnerName(deployment)}: does not select its own pods",
        .. from pod in set.Pods
           from spread in pod.Spec.TopologySpreadConstraints ?? []
           where !spread.LabelSelector.Selects(pod.Metadata.Labels)
           select $"{pod.Name}: spreads over {spread.TopologyKey} with others than its own kind",
    ]);

    public static Rule NamesAreUnique { get; } = new("no two objects of one kind have one name, and no object is tied to a namespace", set =>
    [
        .. set.Objects.GroupBy(ManifestSet.OwnerName).Where(group => group.Count() > 1).Select(group => $"{group.Key}: is there {group.Count()} times"),
        .. set.Objects.Where(o => o.Metadata.NamespaceProperty is not null).Select(o => $"{ManifestSet.OwnerName(o)}: is tied to namespace {o.Metadata.NamespaceProperty}"),
    ]);

    public static IReadOnlyList<Rule> Rules { get; } = [AreComplete, SelectorsMatch, OwnPodsAreSelected, NamesAreUnique];

    /// <summary>The version of the program under test.</summary>
    public static string ProgramVersion { get; } = typeof(DistTrainApp).Assembly.GetName().Version!.ToString(3);

    private static IEnumerable<(string Of, IDictionary<string, string>? By)> Selectors(ManifestSet set)
    {
        foreach (var item in set.Objects)
        {
            var selector = item switch
            {
                V1Deployment deployment => deployment.Spec.Selector.MatchLabels,
                V1Service service => service.Spec.Selector,
                V1NetworkPolicy policy => policy.Spec.PodSelector.MatchLabels,
                V1PodDisruptionBudget budget => budget.Spec.Selector.MatchLabels,
                _ => null,
            };
            if (item is V1Deployment or V1Service or V1NetworkPolicy or V1PodDisruptionBudget)
            {
                yield return (ManifestSet.OwnerName(item), selector);
            }
        }
    }
}
