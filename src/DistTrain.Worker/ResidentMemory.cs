using System.Diagnostics;

namespace DistTrain.Worker;

/// <summary>The process's memory as the operating system counts it.</summary>
internal static class ResidentMemory
{
    /// <summary>Largest resident size so far, in bytes.</summary>
    public static long PeakBytes()
    {
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
