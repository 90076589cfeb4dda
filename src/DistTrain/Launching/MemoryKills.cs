using System.Globalization;

namespace DistTrain.Launching;

/// <summary>
/// How often the system has killed processes of this one's control group for want of memory. Version 2: <c>oom_kill</c> in <c>memory.events</c>; version 1: in
/// <c>memory.oom_control</c> (Linux, <c>Documentation/admin-guide/cgroup-v2.rst</c> and <c>cgroup-v1/memory.rst</c>).
/// </summary>
internal static class MemoryKills
{
    /// <summary>The variable by which a launcher tells a worker that the process before it was killed for want of memory.</summary>
    public const string Variable = "DISTTRAIN_KILLED_FOR_MEMORY";

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

    /// <summary>The files that may tell, by what the system says of a process's groups: a line <c>number:controllers:path</c> for each hierarchy.</summary>
    public static IEnumerable<string> Files(string groups)
    {
        foreach (var line in groups.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var parts = line.Split(':', 3);
            if (parts is ["0", "", var path])
            {
                yield return $"/sys/fs/cgroup{path.TrimEnd('/')}/memory.events";
            }
            else if (parts.Length == 3 && parts[1].Split(',').Contains("memory"))
            {
                yield return $"/sys/fs/cgroup/memory{parts[2].TrimEnd('/')}/memory.oom_control";

                // In a container the path is that of the host, and the group itself is mounted.
                yield return "/sys/fs/cgroup/memory/memory.oom_control";
            }
        }
    }

    /// <summary>The count in such a file; 0 where it has none.</summary>
    public static long Read(string text) => text.Split('\n')
        .Select(line => line.Split(' ', 2))
        .Where(words => words is ["oom_kill", _])
        .Select(words => long.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out var count) ? count : 0)
        .FirstOrDefault();
}
