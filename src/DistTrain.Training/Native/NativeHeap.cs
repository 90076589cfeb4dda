using System.Runtime.InteropServices;

namespace DistTrain.Training.Native;

/// <summary>
/// How the C library deals with freed memory. Every micro-batch frees what the next one takes again; glibc's defaults give it back to the system in between, which clears each page anew.
/// </summary>
/// <remarks>
/// What is kept is at most what the process held at once before, so its peak stays what it is; <see cref="ProcessMemory.ForgetPeak"/> gives it back. Only glibc is told, by
/// <c>mallopt</c> (glibc manual, "Malloc Tunable Parameters"); other libraries have no such call, and what a user has said in the environment stands.
/// </remarks>
internal static partial class NativeHeap
{
    private const int TrimThreshold = -1;
    private const int TopPad = -2;
    private const int MmapThreshold = -3;

    /// <summary>
    /// A thread's memory comes from heaps of this size. One that is free goes back, whatever the thresholds, unless more than the room at the end of the one before is to be left over
    /// (glibc, <c>malloc/arena.c</c>, <c>heap_trim</c>).
    /// </summary>
    private const int HeapBytes = 64 << 20;

    /// <summary>Beyond it every tensor is a mapping of its own, as by default, where glibc raises the threshold up to here by itself.</summary>
    private const int LargestOfHeap = HeapBytes / 2;

    private static readonly string[] Variables = ["MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_"];

    /// <summary>Has freed memory stay with the process.</summary>
    public static void KeepFreedMemory()
    {
        if (!OperatingSystem.IsLinux() || IsSetByUser(Environment.GetEnvironmentVariable))
        {
            return;
        }

        try
        {
            _ = Tell(TrimThreshold, int.MaxValue);
            _ = Tell(TopPad, HeapBytes);
            _ = Tell(MmapThreshold, LargestOfHeap);
        }
        catch (EntryPointNotFoundException)
        {
            // Another C library.
        }
    }

    /// <summary>Whether somebody has said already how it is to be.</summary>
    /// <param name="variable">Looks up a variable of the environment.</param>
    internal static bool IsSetByUser(Func<string, string?> variable) =>
        Variables.Any(name => !string.IsNullOrEmpty(variable(name)))
        || (variable("GLIBC_TUNABLES") ?? "").Contains("glibc.malloc.", StringComparison.Ordinal);

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int Tell(int parameter, int value);
}
