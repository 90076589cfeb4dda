using System.Diagnostics;
using System.Runtime.InteropServices;

namespace DistTrain.Training.Native;

/// <summary>The process's memory as the operating system counts it.</summary>
public static partial class ProcessMemory
{
    /// <summary>Largest resident size so far, in bytes, or since <see cref="ForgetPeak"/>.</summary>
    public static long Peak()
    {
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }

    /// <summary>Resident size now, in bytes.</summary>
    public static long Resident()
    {
        using var process = Process.GetCurrentProcess();
        return process.WorkingSet64;
    }

    /// <summary>
    /// Gives back what the C library keeps of freed memory, and has the system count the peak anew from there (Linux, <c>Documentation/filesystems/proc.rst</c>, <c>clear_refs</c>). Where it does not let a
    /// process do that, the peak stays that of its whole life.
    /// </summary>
    public static void ForgetPeak()
    {
        GC.Collect();
        try
        {
            _ = Trim(0);
        }
        catch (EntryPointNotFoundException)
        {
            // A C library that has no such call.
        }

        try
        {
            File.WriteAllText("/proc/self/clear_refs", "5");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The peak stays.
        }
    }

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int Trim(nuint keep);
}
