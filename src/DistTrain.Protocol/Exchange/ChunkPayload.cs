using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using DistTrain.Core.Layouts;

namespace DistTrain.Protocol.Exchange;

/// <summary>
/// The numbers of one chunk: either rented memory that a message was received into, or a place in somebody's vector that is about to be
/// sent. Both are read in place, and lie outside the managed heap.
/// </summary>
public sealed unsafe class ChunkPayload : IDisposable
{
    private const int LeastPooled = 256;
    private const nuint Alignment = 64;
    private static readonly ConcurrentBag<ChunkPayload> Pool = [];
    private static int _pooled;
    private static int _mostPooled = LeastPooled;

    private float* _source;
    private int _isOut;

    private ChunkPayload(float* source, int count, bool isPassing = false)
    {
        _source = source;
        Count = count;
        IsPassing = isPassing;
        GC.SuppressFinalize(this);
    }

    private ChunkPayload()
    {
        _source = (float*)NativeMemory.AlignedAlloc(ShardTable.MaxChunkElements * sizeof(float), Alignment);
        IsOwned = true;
    }

    /// <summary>One that nobody gave back, as where its operation was abandoned.</summary>
    ~ChunkPayload()
    {
        if (IsOwned)
        {
            NativeMemory.AlignedFree(_source);
        }
    }

    /// <summary>A payload without numbers.</summary>
    public static ChunkPayload Empty { get; } = new(null, 0);

    /// <summary>Elements.</summary>
    public int Count { get; private set; }

    /// <summary>The numbers. Not to be read after <see cref="Dispose"/>, nor after the vector they lie in is gone.</summary>
    public Span<float> Values => new(_source, Count);

    /// <summary>Whether the memory is this payload's own to change.</summary>
    public bool IsOwned { get; }

    /// <summary>Whether the memory is going to hold something else as soon as the call that was given this payload is over.</summary>
    public bool IsPassing { get; }

    /// <summary>A place in a vector, which must stay as it is until the payload was used.</summary>
    public static ChunkPayload Over(float* source, int count) => count == 0 ? Empty : new(source, count);

    /// <summary>A payload for whoever sends one place in a vector after another, or receives so: <see cref="Move"/> names the place.</summary>
    /// <param name="isPassing">Whether the memory is the transport's: whoever needs the numbers for longer copies them.</param>
    public static ChunkPayload Movable(bool isPassing = false) => new(null, 0, isPassing);

    /// <summary>Names another place. Nobody else may hold the payload.</summary>
    public ChunkPayload Move(float* source, int count)
    {
        _source = source;
        Count = count;
        return this;
    }

    /// <summary>Memory for up to <see cref="ShardTable.MaxChunkElements"/> numbers, of any content.</summary>
    public static ChunkPayload Rent(int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, ShardTable.MaxChunkElements);
        if (count == 0)
        {
            return Empty;
        }

        if (Pool.TryTake(out var payload))
        {
            Interlocked.Decrement(ref _pooled);
        }
        else
        {
            payload = new ChunkPayload();
        }

        payload.Count = count;
        Volatile.Write(ref payload._isOut, 1);
        return payload;
    }

    /// <summary>
    /// Keeps at least so many that were given back: what a step needs at once is not freed and allocated anew in the next.
    /// </summary>
    public static void Keep(int payloads)
    {
        for (var most = Volatile.Read(ref _mostPooled); most < payloads; most = Volatile.Read(ref _mostPooled))
        {
            Interlocked.CompareExchange(ref _mostPooled, payloads, most);
        }
    }

    /// <summary>A copy in rented memory.</summary>
    public ChunkPayload Copy()
    {
        var copy = Rent(Count);
        Values.CopyTo(copy.Values);
        return copy;
    }

    /// <summary>Rents memory and copies received bytes into it.</summary>
    public static ChunkPayload Read(ReadOnlySequence<byte> bytes)
    {
        var payload = Rent((int)(bytes.Length / sizeof(float)));
        bytes.CopyTo(MemoryMarshal.AsBytes(payload.Values));
        return payload;
    }

    /// <summary>Gives rented memory back, and the payload with it: somebody else may have it from here on.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isOut, 0) == 0)
        {
            return;
        }

        if (Interlocked.Increment(ref _pooled) <= Volatile.Read(ref _mostPooled))
        {
            Pool.Add(this);
        }
        else
        {
            // What is turned away does not count as pooled, or the pool would shrink with every such buffer.
            Interlocked.Decrement(ref _pooled);
            NativeMemory.AlignedFree(_source);
            GC.SuppressFinalize(this);
        }
    }
}
