using k8s.Models;

namespace DistTrain.PlayedCluster.Controllers;

/// <summary>Whether a disruption budget lets a pod be evicted now.</summary>
internal static class Disruptions
{
    /// <summary>The name of the budget that forbids it; null where none does.</summary>
    public static string? Forbidding(V1Pod pod, IEnumerable<V1PodDisruptionBudget> budgets, IReadOnlyList<V1Pod> pods)
    {
        foreach (var budget in budgets.Where(b => b.Spec.Selector.Selects(pod.Metadata.Labels)))
        {
            var covered = pods.Where(p => budget.Spec.Selector.Selects(p.Metadata.Labels) && !p.IsFinished()).ToList();
            var healthy = covered.Count(p => p.IsReady());
            var wanted = budget.Spec.MinAvailable is { } minimum
                ? DeploymentDecision.Share(minimum.Value, covered.Count, up: true)
                : covered.Count - DeploymentDecision.Share(budget.Spec.MaxUnavailable?.Value ?? "1", covered.Count, up: true);
            var isUnready = !pod.IsReady() && (budget.Spec.UnhealthyPodEvictionPolicy == "AlwaysAllow" || healthy >= wanted);
            if (healthy - 1 < wanted && !isUnready)
            {
                return budget.Metadata.Name;
            }
        }

        return null;
    }
}
