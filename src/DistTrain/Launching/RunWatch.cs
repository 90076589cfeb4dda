using System.Runtime.CompilerServices;
using Grpc.Net.Client;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Launching;

/// <summary>Follows a run from outside: the coordinator's Watch stream.</summary>
internal static class RunWatch
{
    private static readonly TimeSpan ConnectDeadline = TimeSpan.FromSeconds(5);

    /// <summary>The newest state, then every change, until the coordinator ends the stream.</summary>
    public static IAsyncEnumerable<V1.RunEvent> FollowAsync(Uri coordinator, CancellationToken cancellation) => FollowAsync(coordinator, null, cancellation);

    /// <summary>The same over a connection that the caller makes, where no address leads to the coordinator.</summary>
    public static async IAsyncEnumerable<V1.RunEvent> FollowAsync(
        Uri coordinator, Func<CancellationToken, Task<Stream>>? dial, [EnumeratorCancellation] CancellationToken cancellation)
    {
        // A proxy that is set for the internet knows nothing of a run's addresses.
        using var handler = new SocketsHttpHandler { UseProxy = false, ConnectTimeout = dial is null ? ConnectDeadline : Timeout.InfiniteTimeSpan };
        if (dial is not null)
        {
            handler.ConnectCallback = async (_, token) => await dial(token);
        }

        using var channel = GrpcChannel.ForAddress(coordinator, new GrpcChannelOptions { HttpHandler = handler });
        using var call = new V1.Coordinator.CoordinatorClient(channel).Watch(new V1.WatchRequest(), cancellationToken: cancellation);
        while (await call.ResponseStream.MoveNext(cancellation))
        {
            yield return call.ResponseStream.Current;
        }
    }
}
