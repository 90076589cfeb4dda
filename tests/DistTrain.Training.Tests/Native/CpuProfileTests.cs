using System.Runtime.InteropServices;
using DistTrain.Training.Native;

namespace DistTrain.Training.Tests.Native;

/// <summary>The environment a worker computes in.</summary>
[Collection(AloneInProcess.Name)]
public sealed partial class CpuProfileTests
{
    [Fact]
    public void An_instruction_set_is_named_where_a_run_asks_for_it_and_the_processor_has_it()
    {
        Assert.Equal(
            [("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2"), ("MKL_CBWR", "AVX2"), ("OMP_NUM_THREADS", "3"), ("OMP_WAIT_POLICY", "passive"),
                ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")],
            CpuProfile.Variables(3, "avx2", hasAvx2: true));
        (string, string)[] own = [("MKL_CBWR", "AUTO"), ("OMP_NUM_THREADS", "1"), ("OMP_WAIT_POLICY", "passive"), ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")];
        Assert.Equal(own, CpuProfile.Variables(1, "avx2", hasAvx2: false));
        Assert.Equal(own, CpuProfile.Variables(1, "native", hasAvx2: true));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    public void Native_libraries_see_what_the_user_has_not_set(string? empty)
    {
        var before = Environment.GetEnvironmentVariable("OMP_NUM_THREADS");
        try
        {
            Environment.SetEnvironmentVariable("OMP_NUM_THREADS", "5");
            Environment.SetEnvironmentVariable("OMP_WAIT_POLICY", empty);
            CpuProfile.Apply(2, "native");

            Assert.Equal("5", Environment.GetEnvironmentVariable("OMP_NUM_THREADS"));
            Assert.Equal("passive", Environment.GetEnvironmentVariable("OMP_WAIT_POLICY"));
            Assert.Equal("passive", Marshal.PtrToStringUTF8(GetNative("OMP_WAIT_POLICY")));
            Assert.Equal(Environment.GetEnvironmentVariable("MKL_CBWR"), Marshal.PtrToStringUTF8(GetNative("MKL_CBWR")));
        }
        finally
        {
            Environment.SetEnvironmentVariable("OMP_NUM_THREADS", before);
        }
    }

    [Fact]
    public void Torch_that_is_loaded_keeps_its_instructions()
    {
        TorchRuntime.Load(1);
        var refusal = Assert.Throws<PlatformNotSupportedException>(() => TorchRuntime.Load(1, "avx2"));
        Assert.Equal("This process computes with instructions=native for as long as it lives, the run wants instructions=avx2: start the process again.", refusal.Message);
    }

    [LibraryImport("libc", EntryPoint = "getenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial IntPtr GetNative(string name);
}
