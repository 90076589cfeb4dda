using System.Runtime.InteropServices;
using DistTrain.Core.Numerics;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Native;

/// <summary>One native allocation of fp32 numbers with 64-bit offsets: weights, optimizer state, gradient sums. Starts as zeros.</summary>
/// <remarks>
/// On Linux a large one is a mapping of its own. From malloc it would come out of the heaps that torch's short-lived tensors cut up, where
/// what a vector takes depends on what was freed before, and what it leaves behind need not go back to the system.
/// </remarks>
public sealed unsafe partial class NativeVector : IDisposable
{
    private const nuint Alignment = 64;
    private const nuint SmallestMapping = 1 << 20;
    private readonly Tensor? _owner;
    private readonly nuint _mapped;
    private float* _data;

    /// <summary>Allocates.</summary>
    /// <param name="count">Elements, 0 or more.</param>
    /// <exception cref="OutOfMemoryException">The system has not that much memory.</exception>
    public NativeVector(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        Count = count;
        var bytes = checked((nuint)count * sizeof(float));
        if (OperatingSystem.IsLinux() && bytes >= SmallestMapping)
        {
            _data = (float*)Map(bytes);
            _mapped = bytes;
            return;
        }

        _data = (float*)NativeMemory.AlignedAlloc(Math.Max(bytes, Alignment), Alignment);
        Clear();
    }

    private NativeVector(Tensor owner)
    {
        _owner = owner;
        Count = owner.numel();
        _data = (float*)TorchMemory.Address(owner);
        Clear();
    }

    /// <summary>Elements.</summary>
    public long Count { get; }

    /// <summary>The first element. Valid until disposed.</summary>
    public float* Data => _data != null ? _data : throw new ObjectDisposedException(nameof(NativeVector));

    /// <summary>Allocates memory that the system keeps in place, from and to which a GPU copies at full speed. Needs a GPU.</summary>
    /// <param name="count">Elements, 0 or more.</param>
    internal static NativeVector Pinned(long count)
    {
        // A tensor of no elements has no memory, and so no address to begin at.
        if (count == 0)
        {
            return new NativeVector(0);
        }

        using var pageable = empty(count, ScalarType.Float32);
        return new NativeVector(pageable.pin_memory().DetachFromDisposeScope());
    }

    /// <summary>A part that fits a span.</summary>
    /// <param name="offset">First element.</param>
    /// <param name="count">Elements.</param>
    public Span<float> Span(long offset, int count) => new(Part(offset, count), count);

    /// <summary>Sets every element to 0.</summary>
    public void Clear() => NativeMemory.Clear(Data, (nuint)Count * sizeof(float));

    /// <summary>Copies all elements of a vector of the same length.</summary>
    public void CopyFrom(NativeVector source)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(source.Count, Count);
        NativeMemory.Copy(source.Data, Data, (nuint)Count * sizeof(float));
    }

    /// <summary>Adds a vector, element by element, to the elements from an offset on.</summary>
    /// <param name="offset">First element that is added to.</param>
    /// <param name="right">What is added, all of it.</param>
    public void Add(long offset, NativeVector right)
    {
        const int piece = 1 << 20;
        for (var at = 0L; at < right.Count; at += piece)
        {
            var count = (int)Math.Min(piece, right.Count - at);
            VectorKernels.AddInPlace(Span(offset + at, count), right.Span(at, count));
        }
    }

    /// <summary>A part of sum = last + (... + (second + first)), as <see cref="VectorKernels.AddChain"/> adds.</summary>
    /// <param name="chain">The vectors, the innermost summand first; at least one.</param>
    /// <param name="first">First element.</param>
    /// <param name="count">Elements.</param>
    /// <param name="sum">Where the sum goes, which may be one of them.</param>
    public static void AddChain(ReadOnlySpan<NativeVector> chain, long first, long count, NativeVector sum)
    {
        Span<nint> parts = stackalloc nint[chain.Length];
        for (var i = 0; i < chain.Length; i++)
        {
            parts[i] = (nint)chain[i].Part(first, count);
        }

        VectorKernels.AddChain(parts, sum.Part(first, count), count);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Free();
        _owner?.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees what nobody disposed, so that a failed run does not leak.</summary>
    ~NativeVector() => Free();

    /// <summary>Zeroed pages, present before they are written, as a step must not be the first to learn that memory is short.</summary>
    private static void* Map(nuint bytes)
    {
        // PROT_READ | PROT_WRITE; MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE: the values of Linux on x64 and arm64.
        var pages = MapPages(null, bytes, 0x1 | 0x2, 0x2 | 0x20 | 0x8000, -1, 0);
        return (nint)pages == -1 ? throw new InsufficientMemoryException($"The system has no {bytes:N0} bytes for a vector.") : pages;
    }

    private float* Part(long offset, long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Count - count);
        return Data + offset;
    }

    private void Free()
    {
        if (_mapped > 0 && _data != null)
        {
            _ = UnmapPages(_data, _mapped);
        }
        else if (_mapped == 0 && _owner is null)
        {
            NativeMemory.AlignedFree(_data);
        }

        _data = null;
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial void* MapPages(void* address, nuint bytes, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int UnmapPages(void* address, nuint bytes);
}
