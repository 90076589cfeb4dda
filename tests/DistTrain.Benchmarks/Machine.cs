using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Benchmarks;

/// <summary>Where the numbers come from: they compare with others of the same line only.</summary>
internal static class Machine
{
    public static string Describe()
    {
        var processor = File.Exists("/proc/cpuinfo")
            ? File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim()
            : null;
        var isa = Avx512F.IsSupported ? "AVX-512" : Avx2.IsSupported ? "AVX2" : "no AVX2";
        var memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1L << 30);
        return $"{Environment.ProcessorCount} x {processor ?? RuntimeInformation.ProcessArchitecture.ToString()} ({isa}), "
            + $"{memory:0} GiB, {RuntimeInformation.OSDescription.Trim()}, {RuntimeInformation.FrameworkDescription}";
    }

    /// <summary>Runnable tasks over 1, 5 and 15 minutes: above the number of cores, somebody else was computing too.</summary>
    public static string LoadAverage() =>
        File.Exists("/proc/loadavg") ? string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ').Take(3)) : "unknown";
}
