using System.Runtime.CompilerServices;
using k8s;

namespace DistTrain.Kubernetes.Launching;

/// <summary>Which part of a container's log is wanted.</summary>
/// <param name="Tail">The last lines only; null for all.</param>
/// <param name="Follow">Whether to go on while it is written.</param>
/// <param name="Previous">Whether that of the container before, which failed.</param>
internal sealed record LogChoice(int? Tail = null, bool Follow = false, bool Previous = false);

/// <summary>The log of a pod's only container.</summary>
internal static class PodLog
{
    /// <summary>Its lines.</summary>
    /// <exception cref="ClusterException">The cluster does not give it.</exception>
    public static async IAsyncEnumerable<string> ReadAsync(ClusterSession cluster, string pod, LogChoice choice, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await using var stream = await cluster.AskAsync(
            "read the log of", $"pod/{pod}", (client, token) => client.CoreV1.ReadNamespacedPodLogAsync(
                pod, cluster.Namespace, follow: choice.Follow, previous: choice.Previous, tailLines: choice.Tail, cancellationToken: token), cancellation);
        using var reader = new StreamReader(stream);
        while (await NextAsync(cluster, reader, pod, cancellation) is { } line)
        {
            yield return line;
        }
    }

    private static async Task<string?> NextAsync(ClusterSession cluster, StreamReader reader, string pod, CancellationToken cancellation)
    {
        try
        {
            return await reader.ReadLineAsync(cancellation);
        }
        catch (Exception broken) when (ClusterErrors.IsExpected(broken))
        {
            throw ClusterErrors.Translate(broken, cluster.Call("read the log of", $"pod/{pod}"));
        }
    }
}
