using k8s.Models;

namespace DistTrain.PlayedCluster.Controllers;

/// <summary>What controllers ask of a pod.</summary>
internal static class PodFacts
{
    public const string Succeeded = "Succeeded";
    public const string Failed = "Failed";
    public const string DisruptionTarget = "DisruptionTarget";

    public static bool IsFinished(this V1Pod pod) => pod.Status.Phase is Succeeded or Failed;

    public static bool IsTerminating(this V1Pod pod) => pod.Metadata.DeletionTimestamp is not null;

    public static bool Is(this V1Pod pod, string condition) => pod.Status.Conditions?.Any(c => c.Type == condition && c.Status == "True") == true;

    /// <summary>Ready, and not on its way out: what a Service routes to.</summary>
    public static bool IsReady(this V1Pod pod) => pod.Is("Ready") && !pod.IsTerminating() && !pod.IsFinished();

    public static int Restarts(this V1Pod pod) => pod.Status.ContainerStatuses?.Sum(c => c.RestartCount) ?? 0;

    /// <summary>Whether labels satisfy a selector. An empty selector selects all, and none selects nothing.</summary>
    public static bool Selects(this V1LabelSelector? selector, IDictionary<string, string>? labels)
    {
        if (selector is null)
        {
            return false;
        }

        string? Value(string key) => labels?.TryGetValue(key, out var value) == true ? value : null;
        return (selector.MatchLabels ?? new Dictionary<string, string>()).All(wanted => Value(wanted.Key) == wanted.Value)
            && (selector.MatchExpressions ?? []).All(wanted => wanted.OperatorProperty switch
            {
                "In" => Value(wanted.Key) is { } value && wanted.Values.Contains(value),
                "NotIn" => Value(wanted.Key) is not { } value || !wanted.Values.Contains(value),
                "Exists" => Value(wanted.Key) is not null,
                "DoesNotExist" => Value(wanted.Key) is null,
                _ => throw new NotPlayedException($"the selector's operator {wanted.OperatorProperty}"),
            });
    }
}
