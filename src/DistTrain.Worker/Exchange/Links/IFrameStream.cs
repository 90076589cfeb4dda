using DistTrain.Protocol.Exchange;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// One call between two ranks, whichever way it travels: frames go out and come in, each in order, and flow control holds the sender back where the receiver does
/// not take them. One send and one receive at a time. A call that fails throws, or ends; whatever was under way is then lost.
/// </summary>
/// <typeparam name="TSent">The head of the frames that go out.</typeparam>
/// <typeparam name="TReceived">The head of the frames that come in.</typeparam>
internal interface IFrameStream<TSent, TReceived> : IAsyncDisposable
{
    /// <summary>The transport's name, as <c>transport</c> has it.</summary>
    string Transport { get; }

    /// <summary>The head of the last frame. Valid until the next one is asked for.</summary>
    TReceived Head { get; }

    /// <summary>
    /// The numbers of the last frame: the receiver's own where <see cref="ChunkPayload.IsOwned"/> says so; where <see cref="ChunkPayload.IsPassing"/> does, valid until
    /// the next frame is asked for.
    /// </summary>
    ChunkPayload Payload { get; }

    /// <summary>
    /// Where the numbers of a frame are to be received, asked by its head and their count, of a transport that can receive anywhere. Nobody to ask, or no answer, leaves them to memory of the
    /// stream's own choice.
    /// </summary>
    Func<TReceived, int, CancellationToken, ValueTask<ChunkPayload?>>? Place { get; set; }

    /// <summary>Receives the next frame.</summary>
    /// <returns>False where the other end ended the call.</returns>
    ValueTask<bool> MoveNextAsync(CancellationToken cancellation);

    /// <summary>Sends a frame. Head and numbers may change as soon as this is done.</summary>
    ValueTask SendAsync(TSent head, ChunkPayload payload, CancellationToken cancellation);
}
