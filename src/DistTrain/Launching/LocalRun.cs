using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Views;
using Grpc.Core;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Launching;

/// <summary>What a local run is launched with.</summary>
internal sealed record LocalRunSettings
{
    /// <summary>The run's configuration.</summary>
    public required RunOptions Options { get; init; }

    /// <summary>The run's folder, taken and with its <c>config.yaml</c>.</summary>
    public required string Folder { get; init; }

    /// <summary>Whether the folder holds a run to go on with.</summary>
    public bool Resume { get; init; }

    /// <summary>The step of the checkpoint to go back to; null for the newest.</summary>
    public long? Checkpoint { get; init; }

    /// <summary>The coordinator's port; 0 lets the system choose.</summary>
    public int Port { get; init; }

    /// <summary>How the processes are started.</summary>
    public required ChildCommand Program { get; init; }

    /// <summary>The launcher's environment.</summary>
    public required IReadOnlyDictionary<string, string> Environment { get; init; }

    /// <summary>How the run is followed.</summary>
    public Func<Uri, CancellationToken, IAsyncEnumerable<V1.RunEvent>> Watch { get; init; } = RunWatch.FollowAsync;

    /// <summary>How long the coordinator may take to end a run that has lost workers it cannot do without; null for what follows from the options.</summary>
    public TimeSpan? VerdictDeadline { get; init; }

    /// <summary>How long processes may take to end after the run has, and once more after they are asked to; null for what follows from the options.</summary>
    public TimeSpan? EndDeadline { get; init; }
}

/// <summary>How a local run ended.</summary>
/// <param name="Success">Whether it was completed.</param>
/// <param name="Sentence">Why it ended, for the user.</param>
/// <param name="SummaryJson">The text of its summary, where it got that far.</param>
internal sealed record LocalRunResult(bool Success, string Sentence, string? SummaryJson);

/// <summary>
/// A run on this machine: one coordinator process, worker processes, and what they leave behind. It decides nothing about the training; it
/// starts, follows, and makes sure that every process ends with the run, and the run with its processes.
/// </summary>
internal sealed class LocalRun(LocalRunSettings settings, IRunViewer viewer, TimeProvider time)
{
    private const int MostReconnects = 20;

    // A process that a signal ended has an exit code above this one.
    private const int Signalled = 128;
    private const int Kill = 9;
    private readonly Timeouts _timeouts = new(settings.Options.FailureDetection);
    private readonly List<ChildProcess> _children = [];
    private readonly TaskCompletionSource<string> _hopeless = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _started;
    private volatile bool _ending;
    private int _workersAlive;

    /// <summary>Launches the run and returns when it and all its processes have ended.</summary>
    /// <param name="stop">Ends the run early, in order.</param>
    public async Task<LocalRunResult> RunAsync(CancellationToken stop)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        try
        {
            // 1. The coordinator, which says where it listens.
            Directory.CreateDirectory(Path.Combine(settings.Folder, "logs"));
            var coordinator = Start("coordinator", "coordinator.log",
                ["coordinator", Path.Combine(settings.Folder, "config.yaml"), "--out", settings.Folder, "--listen", $"127.0.0.1:{settings.Port}", "--json",
                    .. settings.Resume ? new[] { "--resume" } : [], .. settings.Checkpoint is { } step ? new[] { "--checkpoint", $"{step}" } : []]);
            var (address, problem) = await ListenAsync(coordinator, stop);
            if (address is null)
            {
                return new LocalRunResult(false, problem!, null);
            }

            // 2. The workers, numbered from 0.
            _workersAlive = settings.Options.Workers;
            for (var number = 0; number < settings.Options.Workers; number++)
            {
                var worker = Start($"worker {number}", $"worker-{number}.log",
                    ["worker", "--coordinator", address.OriginalString, "--number", $"{number}"]);
                _ = WatchWorkerAsync(worker);
            }

            // 3. The run, until it or something it cannot do without ends.
            return await FollowAsync(coordinator, address, over.Token);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return new LocalRunResult(false, "The run was stopped before it was finished.", null);
        }
        catch (Exception refused) when (refused is System.ComponentModel.Win32Exception or IOException or UnauthorizedAccessException)
        {
            return new LocalRunResult(false, $"The run's processes cannot be started: {refused.Message}", null);
        }
        finally
        {
            // 4. Nothing outlives the run.
            _ending = true;
            await over.CancelAsync();
            await StopAllAsync();
            RemoveUnfinished();
        }
    }

    private async Task<(Uri? Address, string? Problem)> ListenAsync(ChildProcess coordinator, CancellationToken stop)
    {
        try
        {
            var line = await coordinator.FirstLine.WaitAsync(_timeouts.ProcessStart, time, stop);
            return ListeningLine.Read(line) is { } address
                ? (address, null)
                : (null, Describe(coordinator, line is null ? "ended before it listened" : "did not say where it listens"));
        }
        catch (TimeoutException)
        {
            return (null, Describe(coordinator, $"did not listen within {Duration.Format(_timeouts.ProcessStart)}"));
        }
    }

    private async Task<LocalRunResult> FollowAsync(ChildProcess coordinator, Uri address, CancellationToken over)
    {
        var watching = WatchAsync(coordinator, address, over);
        var stopping = Task.Delay(Timeout.InfiniteTimeSpan, time, over);
        var first = await Task.WhenAny(watching, coordinator.Exit, _hopeless.Task, stopping);
        over.ThrowIfCancellationRequested();

        if (first == _hopeless.Task)
        {
            // The coordinator knows best why, if it finds out in time.
            await Task.WhenAny(watching, coordinator.Exit, Task.Delay(settings.VerdictDeadline ?? _timeouts.Verdict, time, over));
            over.ThrowIfCancellationRequested();
        }

        if (coordinator.Exit.IsCompleted && !watching.IsCompleted)
        {
            // Its last words may still be on their way.
            await Task.WhenAny(watching, Task.Delay(_timeouts.LastWords, time, over));
        }

        if (watching.IsCompletedSuccessfully && await watching is { } finished)
        {
            await EndAsync(over);
            return new LocalRunResult(finished.Success, finished.Sentence, finished.SummaryJson);
        }

        if (coordinator.Exit.IsCompleted)
        {
            var summary = Path.Combine(settings.Folder, "summary.json");
            return await coordinator.Exit == 0 && File.Exists(summary)
                ? new LocalRunResult(true, "", await File.ReadAllTextAsync(summary, over))
                : new LocalRunResult(false, Describe(coordinator, $"{Ended(await coordinator.Exit)} before the run was finished"), null);
        }

        return new LocalRunResult(
            false, _hopeless.Task.IsCompleted ? await _hopeless.Task : $"The coordinator at {address} no longer answers; its log is {coordinator.LogPath}.", null);
    }

    /// <summary>Passes events on until the last one; null where the stream is lost for good.</summary>
    private async Task<V1.RunFinished?> WatchAsync(ChildProcess coordinator, Uri address, CancellationToken over)
    {
        for (var attempt = 0; attempt < MostReconnects; attempt++)
        {
            try
            {
                await foreach (var happened in settings.Watch(address, over))
                {
                    _started |= happened.BodyCase is V1.RunEvent.BodyOneofCase.Started or V1.RunEvent.BodyOneofCase.Step;
                    viewer.Show(happened);
                    if (happened.BodyCase == V1.RunEvent.BodyOneofCase.Finished)
                    {
                        return happened.Finished;
                    }
                }
            }
            catch (Exception broken) when (broken is RpcException or HttpRequestException or IOException && !over.IsCancellationRequested)
            {
                // Asked again below.
            }

            if (coordinator.Exit.IsCompleted)
            {
                return null;
            }

            await Task.Delay(_timeouts.LongestRedial, time, over);
        }

        return null;
    }

    /// <summary>
    /// Whether a run survives the loss of a worker is the coordinator's decision. Only two losses are beyond it: a worker that ended before the run
    /// began, because nobody starts another, and the last one.
    /// </summary>
    private async Task WatchWorkerAsync(ChildProcess worker)
    {
        var code = await worker.Exit;
        if (code != 0 && !_ending && !_hopeless.Task.IsCompleted)
        {
            viewer.Show(new V1.RunEvent
            {
                Happening = new V1.Happening { Name = "process-ended", Sentence = $"{Name(worker)} {Ended(code)}; its log is {worker.LogPath}." },
            });
            if (!_started)
            {
                _hopeless.TrySetResult(Describe(worker, $"{Ended(code)} before the run began"));
            }
        }

        if (Interlocked.Decrement(ref _workersAlive) == 0)
        {
            _hopeless.TrySetResult("Every worker process has ended before the run was finished.");
        }
    }

    private async Task EndAsync(CancellationToken over) =>
        await Task.WhenAny(Task.WhenAll(_children.Select(c => c.Exit)), Task.Delay(settings.EndDeadline ?? _timeouts.ProcessEnd, time, over));

    private async Task StopAllAsync()
    {
        var all = Task.WhenAll(_children.Select(c => c.Exit));
        _children.ForEach(c => c.Release());
        await Task.WhenAny(all, Task.Delay(settings.EndDeadline ?? _timeouts.ProcessEnd, time, CancellationToken.None));
        if (!all.IsCompleted)
        {
            _children.Where(c => !c.Exit.IsCompleted).ToList().ForEach(c => c.Kill());
            await Task.WhenAny(all, Task.Delay(settings.EndDeadline ?? _timeouts.ProcessEnd, time, CancellationToken.None));
        }

        _children.ForEach(c => c.Dispose());
    }

    private ChildProcess Start(string name, string log, IEnumerable<string> arguments)
    {
        var child = ChildProcess.Start(name, settings.Program, arguments, ChildEnvironment(), Path.Combine(settings.Folder, "logs", log), time);
        _children.Add(child);
        return child;
    }

    /// <summary>
    /// The configuration is resolved already, so variables that set keys must not be read a second time, below it. A worker computes with as
    /// many threads as the run says, and none of them spins while it waits: workers share the processors.
    /// </summary>
    private Dictionary<string, string?> ChildEnvironment()
    {
        var environment = settings.Environment.Keys
            .Where(k => k.StartsWith(Configuration.RunConfiguration.Prefix, StringComparison.Ordinal))
            .ToDictionary(k => k, _ => (string?)null);
        environment[Supervision.Variable] = Duration.Format(_timeouts.Grace);
        environment["OMP_NUM_THREADS"] = settings.Environment.GetValueOrDefault("OMP_NUM_THREADS", $"{settings.Options.Threads}");
        environment["OMP_WAIT_POLICY"] = settings.Environment.GetValueOrDefault("OMP_WAIT_POLICY", "passive");
        return environment;
    }

    /// <summary>A checkpoint that a killed coordinator was writing. Nobody writes any more.</summary>
    private void RemoveUnfinished()
    {
        try
        {
            foreach (var unfinished in Directory.EnumerateFileSystemEntries(settings.Folder, "*.tmp", SearchOption.AllDirectories).ToList())
            {
                if (Directory.Exists(unfinished))
                {
                    Directory.Delete(unfinished, recursive: true);
                }
                else
                {
                    File.Delete(unfinished);
                }
            }
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            // Its name says what it is; nobody reads it.
        }
    }

    private static string Name(ChildProcess child) => char.ToUpperInvariant(child.Name[0]) + child.Name[1..];

    private static string Ended(int code) => code > Signalled ? $"was ended by signal {code - Signalled}" : $"ended with exit code {code}";

    /// <summary>What became of a process: its own sentence where it left one, else its last words, which may be those of a library.</summary>
    private static string Describe(ChildProcess child, string what)
    {
        var tail = child.Tail();
        if (tail.LastOrDefault(l => l.StartsWith(Surroundings.ErrorPrefix, StringComparison.Ordinal)) is { } sentence)
        {
            return $"{Name(child)} {what}: {sentence[Surroundings.ErrorPrefix.Length..]}";
        }

        return tail.Count == 0 || (child.Exit.IsCompleted && child.Exit.Result == Signalled + Kill)
            ? $"{Name(child)} {what}; its log is {child.LogPath}."
            : $"{Name(child)} {what}; its log {child.LogPath} ends:\n  {string.Join("\n  ", tail)}";
    }
}
