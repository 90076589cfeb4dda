using System.Runtime.InteropServices;
using DistTrain.Training.Native;

namespace DistTrain.Training.Tests.Native;

/// <summary>Whether memory is short is told by words, as there is no type.</summary>
public sealed class MemoryShortageTests
{
    [Theory]
    [InlineData("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 1125899906842624 bytes. Error code 12 (Cannot allocate memory)", true)]
    [InlineData("[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory: you tried to allocate 80 bytes.", true)]
    [InlineData("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB of which 8.00 MiB is free.", true)]
    [InlineData("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call", true)]
    [InlineData("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", true)]
    [InlineData("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", true)]
    [InlineData("std::bad_alloc", true)]
    [InlineData("CUDA error: an illegal memory access was encountered", false)]
    [InlineData("The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1", false)]
    public void Words_tell(string message, bool isShortage) => Assert.Equal(isShortage, MemoryShortage.Is(new TorchException(message)));

    [Fact]
    public void The_runtimes_own_exception_tells_and_the_same_words_of_others_do_not()
    {
        Assert.True(MemoryShortage.Is(new InsufficientMemoryException()));
        Assert.False(MemoryShortage.Is(new InvalidOperationException("not enough memory")));
    }

    private sealed class TorchException(string message) : ExternalException(message);
}
