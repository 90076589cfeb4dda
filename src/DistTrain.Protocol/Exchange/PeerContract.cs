using DistTrain.Protocol.V1;
using Grpc.Core;

namespace DistTrain.Protocol.Exchange;

/// <summary>The exchange between workers as a gRPC method whose messages are frames. On the wire it is service Peer of exchange.proto.</summary>
public static class PeerContract
{
    /// <summary>One call for every ordered pair of workers.</summary>
    public static Method<ChunkFrame<NodeChunk>, ChunkFrame<ShardChunk>> Exchange { get; } = new(
        MethodType.DuplexStreaming, "disttrain.v1.Peer", "Exchange",
        ChunkMarshaller.For(NodeChunk.Parser), ChunkMarshaller.For(ShardChunk.Parser));
}

/// <summary>The server side of <see cref="PeerContract"/>.</summary>
[BindServiceMethod(typeof(PeerServiceBase), nameof(BindService))]
public abstract class PeerServiceBase
{
    /// <summary>Serves one peer for one generation.</summary>
    public abstract Task Exchange(
        IAsyncStreamReader<ChunkFrame<NodeChunk>> requests, IServerStreamWriter<ChunkFrame<ShardChunk>> responses, ServerCallContext context);

    /// <summary>Called by the framework to find the method.</summary>
    public static void BindService(ServiceBinderBase binder, PeerServiceBase? service) =>
        binder.AddMethod(PeerContract.Exchange, service is null ? null : service.Exchange);
}
