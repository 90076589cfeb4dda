using DistTrain.Protocol.Exchange;
using Google.Protobuf;
using Grpc.Core;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>A gRPC call as a stream of frames.</summary>
/// <param name="writer">Its one half.</param>
/// <param name="reader">Its other half.</param>
/// <param name="end">Ends the call; null on the side that serves it, where it ends with its method.</param>
internal sealed class GrpcFrames<TSent, TReceived>(
    IAsyncStreamWriter<ChunkFrame<TSent>> writer, IAsyncStreamReader<ChunkFrame<TReceived>> reader, Action? end = null) : IFrameStream<TSent, TReceived>
    where TSent : IBufferMessage, IMessage<TSent>
    where TReceived : IBufferMessage, IMessage<TReceived>
{
    /// <inheritdoc/>
    public string Transport => Transports.Grpc;

    /// <inheritdoc/>
    public TReceived Head => reader.Current.Head;

    /// <inheritdoc/>
    /// <remarks>Nobody is asked: gRPC has received them before.</remarks>
    public Func<TReceived, int, CancellationToken, ValueTask<ChunkPayload?>>? Place { get; set; }

    /// <inheritdoc/>
    public ChunkPayload Payload => reader.Current.Payload;

    /// <inheritdoc/>
    public ValueTask<bool> MoveNextAsync(CancellationToken cancellation) => new(reader.MoveNext(cancellation));

    /// <inheritdoc/>
    public ValueTask SendAsync(TSent head, ChunkPayload payload, CancellationToken cancellation) =>
        new(writer.WriteAsync(new ChunkFrame<TSent>(head, payload), cancellation));

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        end?.Invoke();
        return ValueTask.CompletedTask;
    }
}
