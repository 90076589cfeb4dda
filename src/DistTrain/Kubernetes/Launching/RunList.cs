using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Launching;

/// <summary>The runs of a namespace, by their coordinators' Jobs.</summary>
internal static class RunList
{
    /// <summary>Their names, sorted.</summary>
    public static async Task<IReadOnlyList<string>> NamesAsync(ClusterSession cluster, CancellationToken cancellation)
    {
        var jobs = await cluster.AskAsync(
            "list", "jobs.batch", (client, token) => client.BatchV1.ListNamespacedJobAsync(cluster.Namespace, labelSelector: RunNames.AllRuns, cancellationToken: token), cancellation);
        return [.. jobs.Items.Select(NameOf).OfType<string>().Order(StringComparer.Ordinal)];
    }

    private static string? NameOf(V1Job job) =>
        job.Metadata.Labels?.TryGetValue(RunNames.InstanceLabel, out var run) == true && job.Metadata.Name == new RunNames(run).Coordinator ? run : null;
}
