using DistTrain.Launching;
using k8s;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Kubernetes.Launching;

/// <summary>The coordinator's Watch stream, from outside the cluster: through the API server to a port of its pod. No port is opened on this machine.</summary>
internal static class CoordinatorWatch
{
    private const int Port = 5400;
    private static readonly Uri Address = new($"http://coordinator:{Port}");

    /// <summary>The newest state, then every change, for as long as the pod lives.</summary>
    public static IAsyncEnumerable<V1.RunEvent> FollowAsync(ClusterSession cluster, string pod, CancellationToken cancellation) =>
        RunWatch.FollowAsync(Address, token => DialAsync(cluster, pod, token), cancellation);

    /// <summary>Why a stream broke, where the cluster did not allow it; null for any other reason, after which another try may help.</summary>
    public static ClusterException? Refusal(Exception broken)
    {
        for (var at = broken; at is not null; at = at is Grpc.Core.RpcException rpc ? rpc.Status.DebugException : at.InnerException)
        {
            if (at is ClusterException { Fault: ClusterFault.Forbidden or ClusterFault.Refused or ClusterFault.Unauthorized } refused)
            {
                return refused;
            }
        }

        return null;
    }

    private static async Task<Stream> DialAsync(ClusterSession cluster, string pod, CancellationToken cancellation) => new PortForwardStream(await cluster.AskAsync(
        "forward a port of", $"pod/{pod}",
        (client, token) => client.WebSocketNamespacedPodPortForwardAsync(pod, cluster.Namespace, [Port], WebSocketProtocol.V4BinaryWebsocketProtocol, cancellationToken: token),
        cancellation));
}
