using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using DistTrain.Core.Layouts;

namespace DistTrain.Protocol.Exchange;

/// <summary>
/// The numbers of one chunk: either rented memory that a message was received into, or a place in somebody's vector that is about to be
/// sent. Both are read in place.
/// </summary>
public sealed unsafe class ChunkPayload : IDisposable
{
    private const int MostPooled = 256;
    private static readonly ConcurrentBag<float[]> Pool = [];
    private static int _pooled;

    private float* _source;
    private float[]? _rented;

    private ChunkPayload(float* source, float[]? rented, int count, bool isPassing = false)
    {
        _source = source;
        _rented = rented;
        Count = count;
        IsPassing = isPassing;
    }

    /// <summary>A payload without numbers.</summary>
    public static ChunkPayload Empty { get; } = new(null, null, 0);

    /// <summary>Elements.</summary>
    public int Count { get; private set; }

    /// <summary>The numbers. Not to be read after <see cref="Dispose"/>, nor after the vector they lie in is gone.</summary>
    public Span<float> Values => _rented is null ? new Span<float>(_source, Count) : _rented.AsSpan(0, Count);

    /// <summary>Whether the memory is this payload's own to change.</summary>
    public bool IsOwned => _rented is not null;

    /// <summary>Whether the memory is going to hold something else as soon as the call that was given this payload is over.</summary>
    public bool IsPassing { get; }

    /// <summary>A place in a vector, which must stay as it is until the payload was used.</summary>
    public static ChunkPayload Over(float* source, int count) => count == 0 ? Empty : new(source, null, count);

    /// <summary>A payload for whoever sends one place in a vector after another, or receives so: <see cref="Move"/> names the place.</summary>
    /// <param name="isPassing">Whether the memory is the transport's: whoever needs the numbers for longer copies them.</param>
    public static ChunkPayload Movable(bool isPassing = false) => new(null, null, 0, isPassing);

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

        if (Pool.TryTake(out var buffer))
        {
            Interlocked.Decrement(ref _pooled);
        }
        else
        {
            buffer = GC.AllocateUninitializedArray<float>(ShardTable.MaxChunkElements, pinned: true);
        }

        return new ChunkPayload(null, buffer, count);
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

    /// <summary>Gives rented memory back.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _rented, null) is not { } buffer)
        {
            return;
        }

        if (Interlocked.Increment(ref _pooled) <= MostPooled)
        {
            Pool.Add(buffer);
        }
        else
        {
            // What is left to the garbage collector does not count as pooled, or the pool would shrink with every such buffer.
            Interlocked.Decrement(ref _pooled);
        }
    }
}
