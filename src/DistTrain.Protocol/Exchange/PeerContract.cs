using DistTrain.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;

namespace DistTrain.Protocol.Exchange;

/// <summary>The exchange between workers as a gRPC method whose messages are frames. On the wire it is service Peer of exchange.proto.</summary>
public static class PeerContract
{
    /// <summary>One call for every ordered pair of workers.</summary>
    public static Method<ChunkFrame<NodeChunk>, ChunkFrame<ShardChunk>> Exchange { get; } = new(
        MethodType.DuplexStreaming, "disttrain.v1.Peer", "Exchange",
        ChunkMarshaller.For(NodeChunk.Parser), ChunkMarshaller.For(ShardChunk.Parser));

    /// <summary>What comes before a call that may go another way.</summary>
    public static Method<MeetRequest, MeetReply> Meet { get; } = new(
        MethodType.Unary, "disttrain.v1.Peer", "Meet",
        Marshallers.Create(request => request.ToByteArray(), MeetRequest.Parser.ParseFrom),
        Marshallers.Create(reply => reply.ToByteArray(), MeetReply.Parser.ParseFrom));

    /// <summary>A joiner's call to a member.</summary>
    public static Method<HealRequest, ChunkFrame<StateChunk>> Heal { get; } = new(
        MethodType.ServerStreaming, "disttrain.v1.Peer", "Heal",
        Marshallers.Create(request => request.ToByteArray(), HealRequest.Parser.ParseFrom), ChunkMarshaller.For(StateChunk.Parser));
}

/// <summary>The server side of <see cref="PeerContract"/>.</summary>
[BindServiceMethod(typeof(PeerServiceBase), nameof(BindService))]
public abstract class PeerServiceBase
{
    /// <summary>Serves one peer for one generation.</summary>
    public abstract Task Exchange(
        IAsyncStreamReader<ChunkFrame<NodeChunk>> requests, IServerStreamWriter<ChunkFrame<ShardChunk>> responses, ServerCallContext context);

    /// <summary>Says how one peer's call may come.</summary>
    public abstract Task<MeetReply> Meet(MeetRequest request, ServerCallContext context);

    /// <summary>Feeds one joiner.</summary>
    public abstract Task Heal(HealRequest request, IServerStreamWriter<ChunkFrame<StateChunk>> responses, ServerCallContext context);

    /// <summary>Called by the framework to find the methods.</summary>
    public static void BindService(ServiceBinderBase binder, PeerServiceBase? service)
    {
        binder.AddMethod(PeerContract.Exchange, service is null ? null : service.Exchange);
        binder.AddMethod(PeerContract.Meet, service is null ? null : service.Meet);
        binder.AddMethod(PeerContract.Heal, service is null ? null : service.Heal);
    }
}
