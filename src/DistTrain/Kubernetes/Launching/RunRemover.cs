using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Launching;

/// <summary>
/// Takes a run out of a cluster. The coordinator goes first and while its workers are there, so that it can write the state; the volume claim, with the
/// checkpoints, only where that was asked for.
/// </summary>
internal sealed class RunRemover(ClusterSession cluster, RunNames names, Action<string> tell)
{
    private static readonly TimeSpan Between = TimeSpan.FromSeconds(1);

    /// <summary>Deletes the run and waits until its pods are gone.</summary>
    /// <param name="withData">Whether the volume claim goes, too.</param>
    /// <param name="patience">How long to wait.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <returns>What was deleted, and what is still there when the time is over.</returns>
    public async Task<(IReadOnlyList<string> Deleted, IReadOnlyList<string> Left)> RemoveAsync(bool withData, TimeSpan patience, CancellationToken cancellation)
    {
        var deleted = new List<string>();
        var begun = cluster.Time.GetTimestamp();
        await DeleteAsync("Job", names.Coordinator);
        var left = await GoneAsync("coordinator");
        await DeleteAsync("Deployment", names.Worker);
        foreach (var (kind, name) in Others())
        {
            await DeleteAsync(kind, name);
        }

        left = [.. left, .. await GoneAsync("worker")];
        if (withData)
        {
            await DeleteAsync("PersistentVolumeClaim", names.Volume);
        }

        return (deleted, left);

        async Task DeleteAsync(string kind, string name)
        {
            var known = ObjectKinds.Of(kind);
            var found = await cluster.FindAsync($"{known.Title}/{name}", async (client, token) =>
            {
                await known.Delete(client, name, cluster.Namespace, new V1DeleteOptions { PropagationPolicy = "Background" }, token);
                return known;
            }, cancellation);
            if (found is not null)
            {
                deleted.Add($"{known.Title}/{name}");
                tell($"{known.Title}/{name} deleted");
            }
        }

        async Task<IReadOnlyList<string>> GoneAsync(string component)
        {
            while (true)
            {
                var pods = await cluster.AskAsync("list", "pods", (client, token) => client.CoreV1.ListNamespacedPodAsync(
                    cluster.Namespace, labelSelector: $"{names.Selector},{RunNames.ComponentLabel}={component}", cancellationToken: token), cancellation);
                if (pods.Items.Count == 0 || cluster.Time.GetElapsedTime(begun) >= patience)
                {
                    return [.. pods.Items.Select(p => $"pod/{p.Metadata.Name}")];
                }

                await Task.Delay(Between, cluster.Time, cancellation);
            }
        }
    }

    private (string Kind, string Name)[] Others() =>
    [
        ("PodDisruptionBudget", names.Worker), ("Service", names.Coordinator), ("ConfigMap", names.Configuration),
        ("NetworkPolicy", names.Worker), ("NetworkPolicy", names.Coordinator),
        ("RoleBinding", names.Worker), ("RoleBinding", names.Coordinator), ("Role", names.Worker), ("Role", names.Coordinator),
        ("ServiceAccount", names.Worker), ("ServiceAccount", names.Coordinator),
    ];
}
