using System.Diagnostics;

namespace DistTrain.Training.Native;

/// <summary>The process's memory as the operating system counts it.</summary>
public static class ProcessMemory
{
    /// <summary>Largest resident size so far, in bytes.</summary>
    public static long Peak()
    {
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
