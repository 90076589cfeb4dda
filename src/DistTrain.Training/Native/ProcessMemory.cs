using System.Buffers.Text;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DistTrain.Training.Native;

/// <summary>The process's memory as the operating system counts it.</summary>
public static partial class ProcessMemory
{
    private const int StatusBytes = 4096;
    private static readonly SafeFileHandle? Status = OpenStatus();

    /// <summary>Largest resident size so far, in bytes, or since <see cref="ForgetPeak"/>. Cheap enough for every step: <see cref="Process"/> reads a file for each thread, into new memory.</summary>
    public static long Peak()
    {
        Span<byte> status = stackalloc byte[StatusBytes];
        if (Status is not null && ReadKilobytes(status[..RandomAccess.Read(Status, status, 0)], "VmHWM:"u8) is { } kilobytes)
        {
            return kilobytes * 1024;
        }

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

    private static SafeFileHandle? OpenStatus()
    {
        try
        {
            return File.OpenHandle("/proc/self/status");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Not Linux, or a process that may not look at itself.
            return null;
        }
    }

    private static long? ReadKilobytes(ReadOnlySpan<byte> status, ReadOnlySpan<byte> name)
    {
        var at = status.IndexOf(name);
        return at >= 0 && Utf8Parser.TryParse(status[(at + name.Length)..].TrimStart(" \t"u8), out long kilobytes, out _) ? kilobytes : null;
    }

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int Trim(nuint keep);
}
