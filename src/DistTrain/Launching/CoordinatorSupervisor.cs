using DistTrain.Core.Options;

namespace DistTrain.Launching;

/// <summary>The coordinator of a local run, from its first process to its last. All of them listen on one port.</summary>
/// <param name="settings">What the run is launched with.</param>
/// <param name="processes">The run's processes.</param>
/// <param name="policy">When it is started again.</param>
/// <param name="progress">How far the run has come.</param>
/// <param name="faults">What is done to the run on purpose; null for nothing.</param>
/// <param name="tell">Tells people: a name and a sentence.</param>
/// <param name="time">The clock.</param>
internal sealed class CoordinatorSupervisor(
    LocalRunSettings settings, RunProcesses processes, RestartPolicy policy, RunProgress progress, FaultDirector? faults, Action<string, string> tell,
    TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ChildProcess? _current;
    private volatile bool _isDown = true;

    /// <summary>Its newest process.</summary>
    public ChildProcess Current => _current!;

    /// <summary>Whether it does not listen now, though it may again.</summary>
    public bool IsDown => _isDown;

    /// <summary>Starts it for the first time.</summary>
    /// <returns>Where it listens, or why it does not.</returns>
    public async Task<(Uri? Address, string? Problem)> StartAsync(CancellationToken stop)
    {
        Start(settings.Port, settings.Resume, settings.Checkpoint);
        try
        {
            var line = await Current.FirstLine.WaitAsync(settings.Timeouts.ProcessStart, time, stop);
            _isDown = false;
            return ListeningLine.Read(line) is { } address
                ? (address, null)
                : (null, Current.Describe(line is null ? "ended before it listened" : "did not say where it listens"));
        }
        catch (TimeoutException)
        {
            return (null, Current.Describe($"did not listen within {Duration.Format(settings.Timeouts.ProcessStart)}"));
        }
    }

    /// <summary>Asks it to end the run in order; it is not started again.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _stopped.TrySetResult();
            Current.Release();
        }
    }

    /// <summary>Keeps it running until it has ended for good.</summary>
    /// <param name="address">Where it listens.</param>
    /// <param name="over">The run is over.</param>
    /// <returns>The last exit code.</returns>
    public async Task<int> RunAsync(Uri address, CancellationToken over)
    {
        for (var state = default(RestartState); ;)
        {
            var code = await Current.Exit;
            var decision = policy.Decide(state, code, progress.Steps);
            state = decision.State;
            if (!decision.Again || _stopped.Task.IsCompleted || progress.HasFinished || over.IsCancellationRequested)
            {
                return code;
            }

            _isDown = true;
            tell("process-restarted", decision.Sentence(Current, code));
            processes.Forget(Current);
            await Task.WhenAny(Task.Delay(decision.Pause, time, over), _stopped.Task);
            over.ThrowIfCancellationRequested();
            if (!TryStartAgain(address))
            {
                return code;
            }

            if (await ListensAsync(over))
            {
                _isDown = false;
                tell("coordinator-back", $"The coordinator listens on {address.Authority} again.");
            }
        }
    }

    /// <summary>Whether the new process listens. One that does not say so in time is ended, and counted like any other that was.</summary>
    private async Task<bool> ListensAsync(CancellationToken over)
    {
        try
        {
            return ListeningLine.Read(await Current.FirstLine.WaitAsync(settings.Timeouts.ProcessStart, time, over)) is not null;
        }
        catch (TimeoutException)
        {
            Current.Kill();
            return false;
        }
    }

    /// <summary>Starts it again, unless it was asked to end meanwhile: the new process would not know.</summary>
    private bool TryStartAgain(Uri address)
    {
        lock (_gate)
        {
            if (_stopped.Task.IsCompleted)
            {
                return false;
            }

            Start(address.Port, resume: true, checkpoint: null);
            return true;
        }
    }

    private void Start(int port, bool resume, long? checkpoint) => _current = processes.Start(
        "coordinator", "coordinator.log",
        [
            "coordinator", Path.Combine(settings.Folder, "config.yaml"), "--out", settings.Folder, "--listen", $"127.0.0.1:{port}", "--json",
            .. resume ? ["--resume"] : Array.Empty<string>(), .. checkpoint is { } step ? ["--checkpoint", $"{step}"] : Array.Empty<string>(),
        ],
        faults?.LeftOfCoordinator ?? [], faults is null ? null : faults.Hear);
}
