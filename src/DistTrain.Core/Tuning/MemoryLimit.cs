using System.Globalization;
using DistTrain.Core.Options;

namespace DistTrain.Core.Tuning;

/// <summary>
/// How much memory a process may take, from what Linux says: the limits of its control groups up to the root (<c>Documentation/admin-guide/cgroup-v2.rst</c>, <c>memory.max</c>;
/// <c>cgroup-v1/memory.rst</c>, <c>memory.limit_in_bytes</c> and <c>hierarchical_memory_limit</c>), and what the machine has left. Pure: somebody else reads the files.
/// </summary>
public static class MemoryLimit
{
    /// <summary>What a local launch keeps back for its coordinator and for itself, before its workers share the rest.</summary>
    public const long Reserve = 400_000_000;

    /// <summary>Version 1 says that there is no limit by the largest multiple of a page.</summary>
    private const long NoLimit = long.MaxValue / 2;

    /// <summary>The files that may hold a limit: those of a process's groups and of the groups above them.</summary>
    /// <param name="groups">What <see cref="MemoryGroup.Of"/> reads.</param>
    public static IEnumerable<string> Files(string groups) => MemoryGroup.Of(groups)
        .SelectMany(group => Up(group.Path).SelectMany(path => group.IsVersion1
            ? new[] { $"{group.Root}{path}/memory.limit_in_bytes", $"{group.Root}{path}/memory.stat" }
            : [$"{group.Root}{path}/memory.max"]))
        .Distinct();

    /// <summary>The limit in such a file; null where it sets none.</summary>
    public static long? Read(string text)
    {
        foreach (var line in text.Split('\n'))
        {
            var words = line.Split(' ');
            var number = words is [var only] ? only : words is ["hierarchical_memory_limit", var limit] ? limit : "";
            if (long.TryParse(number.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var bytes))
            {
                return bytes < NoLimit ? bytes : null;
            }
        }

        return null;
    }

    /// <summary>What the machine has left without taking anything from anybody, by <c>/proc/meminfo</c>; null where that does not say.</summary>
    public static long? Available(string memory)
    {
        const string name = "MemAvailable:";
        var line = memory.Split('\n').FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal));
        var words = line?[name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return words is [var number, "kB"] && long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var kilobytes) ? kilobytes * 1024 : null;
    }

    /// <summary>What each worker of a local launch may take of what there is.</summary>
    /// <param name="whole">What there is for all processes of the launch.</param>
    /// <param name="workers">How many workers there are, at least 1.</param>
    public static long Share(long whole, int workers) => Math.Max(0, whole - Reserve) / workers;

    /// <summary>What a process may take where <c>memory.limit</c> says a number: not more than there is, as the system kills whoever goes beyond.</summary>
    /// <param name="given">What it says.</param>
    /// <param name="whole">What there is for a process on this host.</param>
    /// <returns>The smaller, and a sentence where that is not what was given.</returns>
    public static (long Bytes, string? Remark) Within(long given, long whole) => given <= whole
        ? (given, null)
        : (whole, $"memory.limit is {ByteSize.Format(given)}, and there are only {ByteSize.Format(whole)}: these count.");

    /// <summary>A group and those above it.</summary>
    private static IEnumerable<string> Up(string path)
    {
        for (; path.Length > 0; path = path[..path.LastIndexOf('/')])
        {
            yield return path;
        }

        yield return "";
    }
}
