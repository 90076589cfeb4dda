using System.Runtime.InteropServices;

namespace DistTrain.PlayedCluster;

/// <summary>
/// The namespaces a play happens in: network, mounts and processes of its own. When the first process in them ends, however it does, the kernel ends every
/// other, and with them all mounts, links and rules.
/// </summary>
internal static partial class Sandbox
{
    private const string Mark = "DISTTRAIN_PLAYED_CLUSTER";
    private static readonly string[] Tools = ["unshare", "nsenter", "setpriv", "pivot_root", "mount", "ip", "nft"];

    /// <summary>Whether this process is in them.</summary>
    public static bool IsInside => Environment.GetEnvironmentVariable(Mark) == $"{Environment.ProcessId}";

    /// <summary>Becomes this program anew in them, with the same process number for whoever wants to end it.</summary>
    /// <returns>The exit code where that cannot be.</returns>
    public static int Enter(string[] arguments)
    {
        if (Missing() is { } missing)
        {
            return Refuse(missing);
        }

        // The first process of a process namespace has the number 1.
        string?[] command =
        [
            "env", $"{Mark}=1", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "--",
            Environment.ProcessPath!, .. arguments, null,
        ];
        _ = Execute("env", command);
        return Refuse($"cannot start env: error {Marshal.GetLastPInvokeError()}");
    }

    /// <summary>Says why nothing can be played, in the form of a play that failed.</summary>
    public static int Refuse(string why)
    {
        Console.WriteLine($"The played cluster {why}.");
        Console.WriteLine("0 passed, 1 failed");
        return 1;
    }

    /// <summary>What is in them besides this process: processes, and network namespaces of pods.</summary>
    public static IReadOnlyList<string> Left() =>
    [
        .. from folder in Directory.EnumerateDirectories("/proc")
           where int.TryParse(Path.GetFileName(folder), out var process) && process != Environment.ProcessId && CommandOf(folder).Length > 0
           select CommandOf(folder),
        .. Directory.EnumerateFiles("/run/netns").Select(Path.GetFileName).OfType<string>(),
    ];

    /// <summary>The command of a process; empty for one that has ended.</summary>
    private static string CommandOf(string folder)
    {
        try
        {
            return File.ReadAllText(Path.Combine(folder, "cmdline")).Replace('\0', ' ').Trim();
        }
        catch (IOException)
        {
            return "";
        }
    }

    private static string? Missing()
    {
        if (Environment.UserName != "root")
        {
            return "needs root: it makes namespaces, mounts and network links";
        }

        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':');
        var missing = Tools.Where(tool => !path.Any(folder => File.Exists(Path.Combine(folder, tool)))).ToList();
        return missing.Count == 0 ? null : $"needs {string.Join(", ", missing)}: apt-get install util-linux mount iproute2 nftables";
    }

    [LibraryImport("libc", EntryPoint = "execvp", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Execute(string program, string?[] arguments);
}
