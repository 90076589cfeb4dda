using DistTrain.Training.Native;

namespace DistTrain.Cluster.Tests;

/// <summary>The memory that a worker reports is the system's own count.</summary>
[Collection(AloneInProcess.Name)]
public sealed class MemoryTests
{
    /// <summary>Linux keeps counts per processor and adds them up now and then: two readings may disagree by some pages, in either direction.</summary>
    private const long Inexact = 1 << 20;

    [Fact]
    public void The_peak_is_that_of_the_status_file()
    {
        var before = PeakOfStatusFile();
        var reported = ProcessMemory.Peak();

        Assert.InRange(reported, before - Inexact, PeakOfStatusFile() + Inexact);

        static long PeakOfStatusFile()
        {
            var line = File.ReadLines("/proc/self/status").Single(l => l.StartsWith("VmHWM:", StringComparison.Ordinal));
            return 1024 * long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2]);
        }
    }
}
