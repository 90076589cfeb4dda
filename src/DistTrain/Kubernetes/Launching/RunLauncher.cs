using System.Text.Json.Nodes;

namespace DistTrain.Kubernetes.Launching;

/// <summary>Puts a run's objects into a cluster: all of them, or, where the cluster objects, mostly none.</summary>
internal static class RunLauncher
{
    /// <summary>Tries all objects on the server before the first one is applied, so that what is wrong is said at once and nothing is left behind.</summary>
    /// <returns>Every objection as a sentence; none where all would be taken.</returns>
    /// <exception cref="ClusterException">The cluster is not reached, or does not know who asks.</exception>
    public static async Task<IReadOnlyList<string>> TryAsync(ClusterSession cluster, IReadOnlyList<JsonObject> manifests, CancellationToken cancellation)
    {
        var objections = new List<string>();
        foreach (var manifest in manifests)
        {
            try
            {
                await ObjectKinds.ApplyAsync(cluster, manifest, onlyTry: true, cancellation);
            }
            catch (ClusterException refused) when (refused.Fault is not (ClusterFault.Unreachable or ClusterFault.Unauthorized or ClusterFault.Configuration))
            {
                // Who may not bind every role must hold what the role allows, and for that the server looks for the role, which is only tried.
                var isRoleMissing = refused.Fault == ClusterFault.NotFound && (string?)manifest["kind"] == "RoleBinding";

                // A webhook that has side effects cannot be asked without them: what it says is heard when the object is applied.
                if (!isRoleMissing && !refused.Message.Contains("does not support dry run", StringComparison.Ordinal))
                {
                    objections.Add(refused.Message);
                }
            }
        }

        return [.. objections.Distinct()];
    }

    /// <summary>Applies all objects in order.</summary>
    /// <returns>How many are there, and the objection that ended it; null where all are.</returns>
    public static async Task<(int Applied, ClusterException? Objection)> ApplyAsync(
        ClusterSession cluster, IReadOnlyList<JsonObject> manifests, CancellationToken cancellation)
    {
        for (var applied = 0; applied < manifests.Count; applied++)
        {
            try
            {
                await ObjectKinds.ApplyAsync(cluster, manifests[applied], onlyTry: false, cancellation);
            }
            catch (ClusterException refused)
            {
                return (applied, refused);
            }
        }

        return (manifests.Count, null);
    }
}
