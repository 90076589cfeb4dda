using System.Runtime.CompilerServices;
using DistTrain.Core.Layouts;
using DistTrain.Protocol.Exchange;
using Google.Protobuf;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// Slots in shared memory that one process writes and another reads, in order. A slot is used again when the reader has acknowledged it. Whoever has to wait says so in a
/// word of its own before it looks for the last time, and the other side wakes it: nobody is woken who does not wait.
/// </summary>
/// <remarks>What the other process writes is believed as far as it can be right: counters within the ring, lengths within the slot.</remarks>
internal sealed unsafe class SharedRing
{
    /// <summary>Bytes of a slot: its head, then the numbers of the largest chunk, or a longer head.</summary>
    public const int SlotBytes = FrameSize.Bytes;

    /// <summary>Bytes of a ring's control words, which lie so far apart that no two share a cache line or its neighbour.</summary>
    public const int ControlBytes = 4 * Apart;

    private const int Apart = 128;
    private const int NumbersAt = FrameSize.LengthBytes + FrameSize.HeadBytes;

    private readonly ulong* _written;
    private readonly ulong* _taken;
    private readonly int* _readerWaits;
    private readonly int* _writerWaits;
    private readonly byte* _slots;
    private readonly ulong _count;
    private readonly byte[] _head = new byte[FrameSize.HeadBytes];
    private readonly ChunkPayload _passing = ChunkPayload.Movable(isPassing: true);
    private ulong _own;

    /// <summary>A ring whose counters are those in the memory, zeros at first.</summary>
    public SharedRing(byte* control, byte* slots, int count)
    {
        _written = (ulong*)control;
        _taken = (ulong*)(control + Apart);
        _readerWaits = (int*)(control + 2 * Apart);
        _writerWaits = (int*)(control + 3 * Apart);
        _slots = slots;
        _count = (ulong)count;
    }

    /// <summary>Whether the writer may write.</summary>
    public bool HasRoom => Within(_own - Volatile.Read(ref *_taken)) < _count;

    /// <summary>Whether the writer may have room, as somebody else than the writer sees it.</summary>
    public bool MayHaveRoom => Volatile.Read(ref _own) - Volatile.Read(ref *_taken) != _count;

    /// <summary>Whether the reader may read.</summary>
    public bool HasFrame => Within(Volatile.Read(ref *_written) - _own) > 0;

    /// <summary>The writer is about to wait, unless it may write after all.</summary>
    /// <returns>Whether it has to.</returns>
    public bool AwaitRoom() => Announce(ref *_writerWaits) && (!HasRoom || Recall(ref *_writerWaits));

    /// <summary>The reader is about to wait, unless there is something after all.</summary>
    /// <returns>Whether it has to.</returns>
    public bool AwaitFrame() => Announce(ref *_readerWaits) && (!HasFrame || Recall(ref *_readerWaits));

    /// <summary>Writes the next slot, for which there is room.</summary>
    /// <returns>Whether the reader has to be woken.</returns>
    public bool Write<THead>(THead head, ChunkPayload payload)
        where THead : IBufferMessage, IMessage<THead>
    {
        var slot = _slots + _own % _count * SlotBytes;
        var length = head.CalculateSize();
        FrameSize.CheckSent(length, payload.Count);
        head.WriteTo(new Span<byte>(slot + FrameSize.LengthBytes, length));
        payload.Values.CopyTo(new Span<float>(slot + NumbersAt, ShardTable.MaxChunkElements));
        (((int*)slot)[0], ((int*)slot)[1]) = (length, payload.Count);
        Volatile.Write(ref *_written, ++_own);
        return Wakes(ref *_readerWaits);
    }

    /// <summary>Reads the next slot, which has a frame. The numbers stay where they are until it is acknowledged; the payload is the ring's.</summary>
    public ChunkPayload Read<THead>(HeadCodec<THead> codec)
        where THead : IBufferMessage, IMessage<THead>
    {
        var slot = _slots + _own % _count * SlotBytes;
        var (length, count) = (Volatile.Read(ref ((int*)slot)[0]), Volatile.Read(ref ((int*)slot)[1]));
        FrameSize.CheckReceived(length, count);

        // What is looked at twice must not change in between.
        var head = length <= _head.Length ? _head : new byte[length];
        new Span<byte>(slot + FrameSize.LengthBytes, length).CopyTo(head);
        codec.Read(head.AsSpan(0, length));
        return _passing.Move((float*)(slot + NumbersAt), count);
    }

    /// <summary>The slot that was read may be written again.</summary>
    /// <returns>Whether the writer has to be woken.</returns>
    public bool Acknowledge()
    {
        Volatile.Write(ref *_taken, ++_own);
        return Wakes(ref *_writerWaits);
    }

    private static bool Announce(ref int waits)
    {
        Volatile.Write(ref waits, 1);
        Interlocked.MemoryBarrier();
        return true;
    }

    private static bool Recall(ref int waits)
    {
        Volatile.Write(ref waits, 0);
        return false;
    }

    private static bool Wakes(ref int waits)
    {
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref waits) != 0 && Interlocked.Exchange(ref waits, 0) != 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ulong Within(ulong frames) => frames <= _count
        ? frames
        : throw new InvalidDataException($"the counters of shared memory say that {frames} frames are under way in {_count} slots");
}
