using System.Runtime.InteropServices;

namespace DistTrain.Training.Native;

/// <summary>How torch and the runtime say that there is no memory left.</summary>
public static class MemoryShortage
{
    // c10/core/impl/alloc_cpu.cpp and c10/cuda/CUDACachingAllocator.cpp; then what CUDA, its libraries and C++ say where torch does not ask by its allocator. TorchSharp
    // passes a message on, and no type.
    private static readonly string[] Words =
    [
        "can't allocate memory", "not enough memory", "CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "std::bad_alloc",
    ];

    /// <summary>Whether an exception says so.</summary>
    public static bool Is(Exception exception) => exception is OutOfMemoryException
        || (exception is ExternalException && Words.Any(words => exception.Message.Contains(words, StringComparison.Ordinal)));
}
