using System.Runtime.InteropServices;

namespace DistTrain.Training.Native;

/// <summary>One native allocation of fp32 numbers with 64-bit offsets: weights, optimizer state, gradient sums. Starts as zeros.</summary>
public sealed unsafe class NativeVector : IDisposable
{
    private const nuint Alignment = 64;
    private float* _data;

    /// <summary>Allocates.</summary>
    /// <param name="count">Elements, 0 or more.</param>
    /// <exception cref="OutOfMemoryException">The system has not that much memory.</exception>
    public NativeVector(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        Count = count;
        var bytes = checked((nuint)count * sizeof(float));
        _data = (float*)NativeMemory.AlignedAlloc(Math.Max(bytes, Alignment), Alignment);
        Clear();
    }

    /// <summary>Elements.</summary>
    public long Count { get; }

    /// <summary>The first element. Valid until disposed.</summary>
    public float* Data => _data != null ? _data : throw new ObjectDisposedException(nameof(NativeVector));

    /// <summary>A part that fits a span.</summary>
    /// <param name="offset">First element.</param>
    /// <param name="count">Elements.</param>
    public Span<float> Span(long offset, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Count - count);
        return new Span<float>(Data + offset, count);
    }

    /// <summary>Sets every element to 0.</summary>
    public void Clear() => NativeMemory.Clear(Data, (nuint)Count * sizeof(float));

    /// <summary>Copies all elements of a vector of the same length.</summary>
    public void CopyFrom(NativeVector source)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(source.Count, Count);
        NativeMemory.Copy(source.Data, Data, (nuint)Count * sizeof(float));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.AlignedFree(_data);
        _data = null;
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees what nobody disposed, so that a failed run does not leak.</summary>
    ~NativeVector() => NativeMemory.AlignedFree(_data);
}
