using DistTrain.Training.Native;

namespace DistTrain.Cli.Tests.Launching;

/// <summary>The environment a worker computes in.</summary>
public sealed class CpuProfileTests
{
    [Fact]
    public void Instruction_sets_are_named_only_where_the_processor_has_them()
    {
        Assert.Equal([("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2"), ("OMP_NUM_THREADS", "3"), ("OMP_WAIT_POLICY", "passive")], CpuProfile.Variables(3, avx2: true));
        Assert.Equal([("OMP_NUM_THREADS", "1"), ("OMP_WAIT_POLICY", "passive")], CpuProfile.Variables(1, avx2: false));
    }
}
