using DistTrain.Protocol.V1;
using Google.Protobuf;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>Reads heads of one kind into one message, over and over, so that receiving allocates nothing.</summary>
/// <param name="create">Makes a message.</param>
/// <param name="clear">Makes one as if it were new, as far as its fields are known here.</param>
internal sealed class HeadCodec<T>(Func<T> create, Action<T> clear)
    where T : IBufferMessage, IMessage<T>
{
    /// <summary>The last head.</summary>
    public T Head { get; private set; } = create();

    /// <summary>Reads a head.</summary>
    /// <exception cref="InvalidDataException">The bytes are none.</exception>
    public void Read(ReadOnlySpan<byte> bytes)
    {
        try
        {
            clear(Head);
            Head.MergeFrom(bytes);
            if (Head.CalculateSize() != bytes.Length)
            {
                // It also holds what it was told before and does not understand, as by a peer of a later version.
                Head = create();
                Head.MergeFrom(bytes);
            }
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
    public static HeadCodec<NodeChunk> Nodes() => new(() => new NodeChunk(), head =>
    {
        (head.Run, head.Term, head.Generation, head.Operation, head.WeightsHash) = (0, 0, 0, 0, 0);
        (head.Rank, head.Level, head.Index, head.Chunk) = (0, 0, 0, 0);
        (head.Header, head.Data) = (null, ByteString.Empty);
    });

    /// <summary>Heads of reduced shards.</summary>
    public static HeadCodec<ShardChunk> Shards() => new(() => new ShardChunk(), head =>
    {
        (head.Run, head.Term, head.Generation, head.Operation) = (0, 0, 0, 0);
        (head.Rank, head.Chunk, head.Header, head.Data) = (0, 0, null, ByteString.Empty);
        head.TileSquares.Clear();
    });
}
