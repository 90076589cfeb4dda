using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using DistTrain.Core.Options;

namespace DistTrain.Worker;

/// <summary>What kind of processor this is, for people who compare hosts; the probe gradient decides.</summary>
internal static class Arithmetic
{
    public static string Describe()
    {
        var isa = Avx512F.IsSupported ? "avx512" : Avx2.IsSupported ? "avx2" : "baseline";
        return $"{RuntimeInformation.RuntimeIdentifier} {isa} {Environment.GetEnvironmentVariable("ATEN_CPU_CAPABILITY") ?? RunOptions.NativeInstructions}";
    }
}
