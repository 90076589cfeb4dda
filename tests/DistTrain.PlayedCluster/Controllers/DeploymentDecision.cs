using k8s.Models;

namespace DistTrain.PlayedCluster.Controllers;

/// <summary>What a deployment does next.</summary>
/// <param name="Create">How many pods of the present template it makes.</param>
/// <param name="Delete">The pods it takes away.</param>
internal sealed record DeploymentStep(int Create, IReadOnlyList<V1Pod> Delete);

/// <summary>The decisions of the deployment and replica set controllers in one: how many pods of which template there are to be, and which of too many go.</summary>
internal static class DeploymentDecision
{
    /// <summary>The label that tells pods of one template from those of another.</summary>
    public const string TemplateHash = "pod-template-hash";

    /// <summary>The next step.</summary>
    /// <param name="spec">What is wanted.</param>
    /// <param name="hash">The hash of its present template.</param>
    /// <param name="pods">The deployment's pods.</param>
    public static DeploymentStep Next(V1DeploymentSpec spec, string hash, IReadOnlyList<V1Pod> pods)
    {
        var replicas = spec.Replicas ?? 1;
        var living = pods.Where(p => !p.IsTerminating() && !p.IsFinished()).ToList();
        var current = living.Where(p => p.Metadata.Labels[TemplateHash] == hash).ToList();
        var former = living.Except(current).ToList();
        var (surge, unavailable) = Rolling(spec, replicas);
        if (former.Count == 0)
        {
            return new(Math.Max(0, replicas - current.Count), [.. InOrderOfDeletion(current).Take(Math.Max(0, current.Count - replicas))]);
        }

        // Of the former template those go first that are of no use; then as many as may be missing.
        var create = Math.Max(0, Math.Min(replicas - current.Count, replicas + surge - living.Count));
        var useless = former.Where(p => !p.IsReady()).ToList();
        var spare = Math.Max(0, living.Count(p => p.IsReady()) - (replicas - unavailable));
        return new(create, [.. useless, .. InOrderOfDeletion(former.Except(useless)).Take(spare)]);
    }

    /// <summary>Whom a deployment that is scaled down takes first: who is not ready, then whoever has most company on its node, then the youngest.</summary>
    public static IEnumerable<V1Pod> InOrderOfDeletion(IEnumerable<V1Pod> pods)
    {
        var all = pods.ToList();
        return all
            .OrderBy(p => p.IsReady())
            .ThenByDescending(p => all.Count(other => other.Spec.NodeName == p.Spec.NodeName))
            .ThenByDescending(p => p.Restarts())
            .ThenByDescending(p => p.Metadata.CreationTimestamp);
    }

    private static (int Surge, int Unavailable) Rolling(V1DeploymentSpec spec, int replicas)
    {
        if (spec.Strategy?.Type == "Recreate")
        {
            return (0, replicas);
        }

        var surge = Share(spec.Strategy?.RollingUpdate?.MaxSurge?.Value ?? "25%", replicas, up: true);
        var unavailable = Share(spec.Strategy?.RollingUpdate?.MaxUnavailable?.Value ?? "25%", replicas, up: false);
        return (surge, surge == 0 && unavailable == 0 ? 1 : unavailable);
    }

    /// <summary>A number, or a share of a number, as several objects state it.</summary>
    public static int Share(string text, int whole, bool up)
    {
        if (!text.EndsWith('%'))
        {
            return int.Parse(text);
        }

        var share = int.Parse(text[..^1]) * whole / 100.0;
        return (int)(up ? Math.Ceiling(share) : Math.Floor(share));
    }
}
