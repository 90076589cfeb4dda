using System.Runtime.InteropServices;
using DistTrain.Training.Native;

namespace DistTrain.Training.Tests.Native;

/// <summary>The environment a worker computes in.</summary>
[Collection(AloneInProcess.Name)]
public sealed partial class CpuProfileTests
{
    [Fact]
    public void Instruction_sets_are_named_only_where_the_processor_has_them()
    {
        Assert.Equal(
            [("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2"), ("MKL_CBWR", "AUTO"), ("OMP_NUM_THREADS", "3"), ("OMP_WAIT_POLICY", "passive"),
                ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")],
            CpuProfile.Variables(3, avx2: true));
        Assert.Equal([("MKL_CBWR", "AUTO"), ("OMP_NUM_THREADS", "1"), ("OMP_WAIT_POLICY", "passive"), ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")], CpuProfile.Variables(1, avx2: false));
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
            CpuProfile.Apply(2);

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

    [LibraryImport("libc", EntryPoint = "getenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial IntPtr GetNative(string name);
}
