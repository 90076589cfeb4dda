using DistTrain.Core.Tuning;
using DistTrain.Training.Native;

namespace DistTrain.Worker;

/// <summary>What memory there is for a process on this host.</summary>
public static class HostMemory
{
    /// <summary>The variable by which a local launch tells each worker its share, in bytes.</summary>
    public const string Variable = "DISTTRAIN_MEMORY_SHARE";

    /// <summary>
    /// The smallest of the limits of the control groups this process is in, and what the machine has left beside what the process holds already; the machine's whole memory where it
    /// does not say.
    /// </summary>
    public static long Limit()
    {
        var machine = Read("/proc/meminfo") is { } memory && MemoryLimit.Available(memory) is { } left
            ? left + ProcessMemory.Resident()
            : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        var groups = MemoryLimit.Files(Read("/proc/self/cgroup") ?? "").Select(file => Read(file) is { } text ? MemoryLimit.Read(text) : null);
        return groups.OfType<long>().Append(machine).Min();
    }

    private static string? Read(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
