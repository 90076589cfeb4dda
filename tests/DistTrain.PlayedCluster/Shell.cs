using System.Diagnostics;
using System.Runtime.InteropServices;

namespace DistTrain.PlayedCluster;

/// <summary>Commands of the system, each with a deadline, and signals.</summary>
internal static partial class Shell
{
    public const int Term = 15;
    public const int Kill = 9;
    public const int Stop = 19;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Runs a command that has to succeed.</summary>
    /// <returns>What it wrote to standard output.</returns>
    public static async Task<string> RunAsync(string program, IEnumerable<string> arguments, string? input = null, CancellationToken cancellation = default)
    {
        var (code, output, error) = await TryAsync(program, arguments, input, Patience, cancellation);
        return code == 0 ? output : throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {code}: {error.Trim()}");
    }

    /// <summary>Runs a command; one that is not done in time is killed, and has the exit code 137.</summary>
    public static async Task<(int Code, string Output, string Error)> TryAsync(
        string program, IEnumerable<string> arguments, string? input, TimeSpan patience, CancellationToken cancellation = default)
    {
        using var process = new Process
        {
            StartInfo = new ProcessStartInfo(program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true },
        };
        process.Start();
        var (output, error) = (process.StandardOutput.ReadToEndAsync(CancellationToken.None), process.StandardError.ReadToEndAsync(CancellationToken.None));
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(patience);
        try
        {
            await process.StandardInput.WriteAsync((input ?? "").AsMemory(), deadline.Token);
            process.StandardInput.Close();
            await process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
        }

        return (process.ExitCode, await output, await error);
    }

    /// <summary>Sends a signal; nothing happens where the process has ended.</summary>
    public static void Signal(int process, int signal) => _ = SendSignal(process, signal);

    /// <summary>The children of a process, as /proc tells them.</summary>
    public static IReadOnlyList<int> ChildrenOf(int process)
    {
        try
        {
            return [.. File.ReadAllText($"/proc/{process}/task/{process}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];
        }
        catch (IOException)
        {
            return [];
        }
    }

    /// <summary>A word that the shell takes as it is.</summary>
    public static string Quote(string word) => $"'{word.Replace("'", "'\\''")}'";

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}
