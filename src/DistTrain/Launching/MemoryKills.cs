using System.Globalization;
using DistTrain.Core.Tuning;

namespace DistTrain.Launching;

/// <summary>
/// How often the system has killed processes of this one's control group for want of memory. Version 2: <c>oom_kill</c> in <c>memory.events</c>; version 1: in
/// <c>memory.oom_control</c> (Linux, <c>Documentation/admin-guide/cgroup-v2.rst</c> and <c>cgroup-v1/memory.rst</c>).
/// </summary>
internal static class MemoryKills
{
    /// <summary>The variable by which a launcher tells a worker that the process before it was killed for want of memory.</summary>
    public const string Variable = "DISTTRAIN_KILLED_FOR_MEMORY";

    /// <summary>What is said of a process that the system seems to have killed, and cannot be started again: the system does not name whom it kills.</summary>
    public const string Remedy = "The system seems to have killed it for want of memory: make batch.micro smaller or auto, or give the machine or its control group more memory.";

    /// <summary>How often so far; 0 where there is no such group, or it does not tell.</summary>
    public static long Count()
    {
        try
        {
            return Files(File.ReadAllText("/proc/self/cgroup")).Where(File.Exists).Sum(file => Read(File.ReadAllText(file)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    /// <summary>The files that may tell.</summary>
    /// <param name="groups">What <see cref="MemoryGroup.Of"/> reads.</param>
    public static IEnumerable<string> Files(string groups) => MemoryGroup.Of(groups).SelectMany(group => group.IsVersion1
        ? new[] { $"{group.Root}{group.Path}/memory.oom_control", $"{group.Root}/memory.oom_control" }
        : [$"{group.Root}{group.Path}/memory.events"]);

    /// <summary>The count in such a file; 0 where it has none.</summary>
    public static long Read(string text) => text.Split('\n')
        .Select(line => line.Split(' ', 2))
        .Where(words => words is ["oom_kill", _])
        .Select(words => long.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out var count) ? count : 0)
        .FirstOrDefault();
}
