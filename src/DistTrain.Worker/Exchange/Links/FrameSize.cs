using DistTrain.Core.Layouts;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// How large a frame of shared memory or TCP is at most: the numbers of the largest chunk and 16 KiB for a head beside them, or a head alone in the place of both, as an evaluation has it, whose sums
/// lie in its header.
/// </summary>
internal static class FrameSize
{
    /// <summary>Bytes of the largest frame.</summary>
    public const int Bytes = 256 * 1024;

    /// <summary>Bytes of the two lengths with which a frame begins: of its head in bytes, of its numbers by their count.</summary>
    public const int LengthBytes = 2 * sizeof(int);

    /// <summary>Bytes of the largest head beside numbers.</summary>
    public const int HeadBytes = Bytes - ShardTable.MaxChunkElements * sizeof(float) - LengthBytes;

    /// <summary>Bytes of the largest head alone.</summary>
    public const int LoneHeadBytes = Bytes - LengthBytes;

    /// <summary>Checks what is to be sent.</summary>
    /// <exception cref="InvalidDataException">The head is too long.</exception>
    public static void CheckSent(int head, int count)
    {
        if (head > Most(count))
        {
            throw new InvalidDataException($"a message of {head} bytes beside {count} numbers is longer than {Most(count)}, and too long for a frame: set transport to grpc");
        }
    }

    /// <summary>Checks what somebody says that is to be received.</summary>
    /// <exception cref="InvalidDataException">It cannot be.</exception>
    public static void CheckReceived(int head, int count)
    {
        if (count is < 0 or > ShardTable.MaxChunkElements || head < 0 || head > Most(count))
        {
            throw new InvalidDataException($"a message says it holds {head} bytes and {count} numbers; a chunk has at most {ShardTable.MaxChunkElements}");
        }
    }

    private static int Most(int count) => count == 0 ? LoneHeadBytes : HeadBytes;
}
