using System.Diagnostics;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>A running container: the first process of a process namespace, with whose end everything in it ends.</summary>
internal sealed class ContainerProcess : IDisposable
{
    private readonly Process _process;
    private readonly ContainerLog _log;

    private ContainerProcess(Process process, ContainerLog log) => (_process, _log) = (process, log);

    /// <summary>Its exit code; 128 and the signal's number where a signal ended it.</summary>
    public Task<int> Exit { get; private set; } = Task.FromResult(0);

    /// <summary>Its number on this machine; 0 after it has ended.</summary>
    public int Id => Shell.ChildrenOf(_process.Id) is [var first, ..] ? first : 0;

    /// <summary>Starts a container; completed when its first process is there, which a signal would miss before, or has ended already.</summary>
    /// <param name="spec">What it is started with.</param>
    /// <param name="log">What takes its output.</param>
    public static async Task<ContainerProcess> StartAsync(ContainerSpec spec, ContainerLog log)
    {
        // The outer shell is none of the container's: its child is the first process of the new namespace, and 128 and a signal's number is its word
        // for how that one ended. unshare --fork would have none for SIGKILL.
        string[] arguments =
        [
            $"--net=/run/netns/{spec.Network}",
            "unshare", "--mount", "--pid", "--ipc", "--uts", "--",
            "sh", "-c", "sh -c \"$0\"; exit $?", ContainerScript.Of(spec),
        ];
        var start = new ProcessStartInfo("nsenter", arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        var container = new ContainerProcess(new Process { StartInfo = start }, log);
        container._process.Start();
        container._process.StandardInput.Close();
        var output = Task.WhenAll(container.FileAsync(container._process.StandardOutput), container.FileAsync(container._process.StandardError));
        container.Exit = container.EndAsync(output);
        while (container.Id == 0 && !container.Exit.IsCompleted)
        {
            await Task.WhenAny(container.Exit, Task.Delay(TimeSpan.FromMilliseconds(5)));
        }

        return container;
    }

    /// <summary>Sends a signal to its first process.</summary>
    public void Signal(int signal)
    {
        if (Id is > 0 and var process)
        {
            Shell.Signal(process, signal);
        }
    }

    /// <summary>Ends it as a kubelet does: SIGTERM, the grace, SIGKILL.</summary>
    public async Task EndAsync(TimeSpan grace)
    {
        Signal(Shell.Term);
        if (await Task.WhenAny(Exit, Task.Delay(grace)) != Exit)
        {
            Signal(Shell.Kill);
            await Exit;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _process.Dispose();

    private async Task FileAsync(StreamReader output)
    {
        while (await output.ReadLineAsync() is { } line)
        {
            _log.Write(line);
        }
    }

    private async Task<int> EndAsync(Task output)
    {
        await _process.WaitForExitAsync();
        await output;
        _log.Dispose();
        return _process.ExitCode;
    }
}
