namespace DistTrain.Core.Tuning;

/// <summary>A control group that counts a process's memory (Linux, <c>Documentation/admin-guide/cgroup-v2.rst</c> and <c>cgroup-v1/memory.rst</c>).</summary>
/// <param name="IsVersion1">Whether it belongs to version 1's hierarchy of memory; else to version 2's, which is one for all.</param>
/// <param name="Path">Its path below <see cref="Root"/>: it begins with a slash and does not end with one; empty for the root itself.</param>
public readonly record struct MemoryGroup(bool IsVersion1, string Path)
{
    /// <summary>Where the hierarchy is mounted. In a container of version 1 the path is that of the host, and the group itself is mounted here.</summary>
    public string Root => IsVersion1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";

    /// <summary>The groups that the system names, in <c>/proc/self/cgroup</c>: a line <c>number:controllers:path</c> for each hierarchy.</summary>
    public static IEnumerable<MemoryGroup> Of(string groups)
    {
        foreach (var line in groups.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var parts = line.Split(':', 3);
            if (parts is ["0", "", var path])
            {
                yield return new MemoryGroup(false, path.TrimEnd('/'));
            }
            else if (parts.Length == 3 && parts[1].Split(',').Contains("memory"))
            {
                yield return new MemoryGroup(true, parts[2].TrimEnd('/'));
            }
        }
    }
}
