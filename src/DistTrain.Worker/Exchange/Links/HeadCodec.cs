using DistTrain.Protocol.V1;
using Google.Protobuf;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>Reads heads of one kind into one message, over and over, so that receiving allocates nothing.</summary>
/// <param name="head">The message.</param>
/// <param name="clear">Makes it as if it were new.</param>
internal sealed class HeadCodec<T>(T head, Action<T> clear)
    where T : IBufferMessage, IMessage<T>
{
    /// <summary>The last head.</summary>
    public T Head => head;

    /// <summary>Reads a head.</summary>
    /// <exception cref="InvalidDataException">The bytes are none.</exception>
    public void Read(ReadOnlySpan<byte> bytes)
    {
        clear(head);
        try
        {
            head.MergeFrom(bytes);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new InvalidDataException($"a message is refused: {e.Message}", e);
        }
    }
}

/// <summary>The codecs of the exchange.</summary>
internal static class HeadCodec
{
    /// <summary>Heads of nodes.</summary>
    public static HeadCodec<NodeChunk> Nodes() => new(new NodeChunk(), head =>
    {
        (head.Run, head.Term, head.Generation, head.Operation, head.WeightsHash) = (0, 0, 0, 0, 0);
        (head.Rank, head.Level, head.Index, head.Chunk) = (0, 0, 0, 0);
        (head.Header, head.Data) = (null, ByteString.Empty);
    });

    /// <summary>Heads of reduced shards.</summary>
    public static HeadCodec<ShardChunk> Shards() => new(new ShardChunk(), head =>
    {
        (head.Run, head.Term, head.Generation, head.Operation) = (0, 0, 0, 0);
        (head.Rank, head.Chunk, head.Header, head.Data) = (0, 0, null, ByteString.Empty);
        head.TileSquares.Clear();
    });
}
