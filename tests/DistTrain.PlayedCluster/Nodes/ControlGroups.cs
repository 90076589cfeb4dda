using k8s.Models;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>Limits of memory and processor by the kernel's control groups, of either version, where this machine lets us make some.</summary>
internal sealed class ControlGroups
{
    private const string Prefix = "disttrain-played-";
    private const string Base = "/sys/fs/cgroup";
    private const int Period = 100_000;

    private readonly string? _memory;
    private readonly string? _processor;
    private readonly bool _isSecond;

    private ControlGroups(string? memory, string? processor, bool isSecond) => (_memory, _processor, _isSecond) = (memory, processor, isSecond);

    /// <summary>What is limited here, for people.</summary>
    public string Describe() => (_memory, _processor) switch
    {
        (null, null) => "limits of memory and processor are not played: no control group can be made here",
        (null, _) => "limits of memory are not played: no such control group can be made here",
        (_, null) => "limits of the processor are not played: no such control group can be made here",
        _ => $"limits of memory and processor by control groups, version {(_isSecond ? 2 : 1)}",
    };

    /// <summary>Looks for what this machine has, and removes what a play that was killed left there.</summary>
    public static ControlGroups Find()
    {
        var isSecond = File.Exists($"{Base}/cgroup.controllers");
        var controllers = isSecond ? File.ReadAllText($"{Base}/cgroup.controllers").Split() : [];
        string? Parent(string first, string second)
        {
            var parent = isSecond ? Base : $"{Base}/{first}";
            if (isSecond ? !controllers.Contains(second) : !Directory.Exists(parent))
            {
                return null;
            }

            try
            {
                foreach (var left in Directory.EnumerateDirectories(parent, Prefix + "*"))
                {
                    Remove(left);
                }

                if (isSecond)
                {
                    File.WriteAllText($"{Base}/cgroup.subtree_control", $"+{second}");
                }

                Directory.CreateDirectory($"{parent}/{Prefix}probe");
                Remove($"{parent}/{Prefix}probe");
                return parent;
            }
            catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
            {
                return null;
            }
        }

        return new(Parent("memory", "memory"), Parent("cpu", "cpu"), isSecond);
    }

    /// <summary>Makes the groups of a container.</summary>
    /// <returns>The files that take a process into them.</returns>
    public IReadOnlyList<string> Make(string name, IDictionary<string, ResourceQuantity>? limits)
    {
        var files = new List<string>();
        if (_memory is not null && limits?.TryGetValue("memory", out var memory) == true)
        {
            var group = $"{_memory}/{Prefix}{name}";
            Directory.CreateDirectory(group);
            File.WriteAllText($"{group}/{(_isSecond ? "memory.max" : "memory.limit_in_bytes")}", $"{memory.ToInt64()}");
            files.Add($"{group}/cgroup.procs");
        }

        if (_processor is not null && limits?.TryGetValue("cpu", out var processor) == true)
        {
            var group = $"{_processor}/{Prefix}{name}";
            Directory.CreateDirectory(group);
            var quota = (long)(processor.ToDecimal() * Period);
            if (_isSecond)
            {
                File.WriteAllText($"{group}/cpu.max", $"{quota} {Period}");
            }
            else
            {
                File.WriteAllText($"{group}/cpu.cfs_period_us", $"{Period}");
                File.WriteAllText($"{group}/cpu.cfs_quota_us", $"{quota}");
            }

            files.Add($"{group}/cgroup.procs");
        }

        return [.. files.Distinct()];
    }

    /// <summary>Whether the kernel has killed something in a container's group for its memory.</summary>
    public bool IsOutOfMemory(string name)
    {
        var file = $"{_memory}/{Prefix}{name}/{(_isSecond ? "memory.events" : "memory.oom_control")}";
        return _memory is not null && File.Exists(file)
            && File.ReadLines(file).Any(l => l.StartsWith("oom_kill ", StringComparison.Ordinal) && !l.EndsWith(" 0", StringComparison.Ordinal));
    }

    /// <summary>Removes a container's groups.</summary>
    public void RemoveOf(string name)
    {
        foreach (var parent in new[] { _memory, _processor }.OfType<string>().Distinct())
        {
            Remove($"{parent}/{Prefix}{name}");
        }
    }

    private static void Remove(string group)
    {
        try
        {
            if (Directory.Exists(group))
            {
                // Its files are the kernel's: only the folder itself can be removed.
                Directory.Delete(group, recursive: false);
            }
        }
        catch (IOException)
        {
            // A process in it is about to end; the next play removes it.
        }
    }
}
