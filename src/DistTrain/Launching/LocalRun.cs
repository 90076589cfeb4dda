using DistTrain.Core.Faults;
using DistTrain.Protocol.Faults;
using DistTrain.Views;
using Grpc.Core;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Launching;

/// <summary>
/// A run on this machine: one coordinator process, worker processes, and what they leave behind. It decides nothing about the training; it
/// starts, follows, starts again what a signal ended, and makes sure that every process ends with the run, and the run with its processes.
/// </summary>
internal sealed class LocalRun
{
    private const int MostReconnects = 100;
    private const string Stopped = "The run was stopped before it was finished.";

    private readonly LocalRunSettings _settings;
    private readonly IRunViewer _viewer;
    private readonly TimeProvider _time;
    private readonly RestartPolicy _policy;
    private readonly RunProgress _progress = new();
    private readonly RunProcesses _processes;
    private readonly FaultDirector? _faults;
    private readonly CoordinatorSupervisor _coordinator;
    private readonly List<WorkerSupervisor> _workers = [];
    private readonly MemoryKillWatch _kills;
    private readonly TaskCompletionSource<string> _hopeless = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _workersLeft;

    /// <summary>A run that is not launched yet.</summary>
    public LocalRun(LocalRunSettings settings, IRunViewer viewer, TimeProvider time)
    {
        _settings = settings;
        _viewer = viewer;
        _time = time;
        _policy = new RestartPolicy(settings.MaxRestarts);
        _processes = new RunProcesses(settings, time);
        _kills = new MemoryKillWatch(settings.MemoryKills, time);
        _faults = settings.Faults is { } plan ? new FaultDirector(plan, settings, Tell, time) : null;
        _coordinator = new CoordinatorSupervisor(settings, _processes, _policy, _progress, _faults, Tell, time);
    }

    /// <summary>Launches the run and returns when it and all its processes have ended.</summary>
    /// <param name="stop">Ends the run early, in order.</param>
    public async Task<LocalRunResult> RunAsync(CancellationToken stop)
    {
        using var over = new CancellationTokenSource();
        var looking = _kills.LookAsync(over.Token);
        try
        {
            // 1. The coordinator, which says where it listens.
            Directory.CreateDirectory(Path.Combine(_settings.Folder, "logs"));
            var (address, problem) = await _coordinator.StartAsync(stop);
            if (address is null)
            {
                // A run that was complete already has nothing to listen for.
                await Task.WhenAny(_coordinator.Current.Exit, Task.Delay(_settings.Timeouts.LastWords, _time, stop));
                return _coordinator.Current.Exit is { IsCompletedSuccessfully: true, Result: 0 }
                    ? await SummedUpAsync()
                    : new LocalRunResult(false, problem!, null) { HasBegun = false };
            }

            // 2. The workers, numbered from 0.
            for (var number = 0; number < _settings.Options.Workers; number++)
            {
                AddWorker(address, over.Token);
            }

            // 3. The run, until it or something it cannot do without ends.
            return await FollowAsync(address, stop, over.Token);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return await GiveUpAsync();
        }
        catch (Exception refused) when (refused is System.ComponentModel.Win32Exception or IOException or UnauthorizedAccessException)
        {
            return new LocalRunResult(false, $"The run's processes cannot be started: {refused.Message}", null);
        }
        finally
        {
            // 4. Nothing outlives the run.
            await over.CancelAsync();
            await (_faults?.DisposeAsync() ?? ValueTask.CompletedTask);
            await _processes.StopAllAsync();
            RemoveUnfinished();
            await looking;
            _faults?.TellLeft();
        }
    }

    private async Task<LocalRunResult> FollowAsync(Uri address, CancellationToken stop, CancellationToken over)
    {
        var ended = _coordinator.RunAsync(address, over);
        var watching = WatchAsync(ended, address, over);
        var stopping = Task.Delay(Timeout.InfiniteTimeSpan, _time, stop);
        var first = await Task.WhenAny(watching, ended, _hopeless.Task, stopping);
        if (first == _hopeless.Task)
        {
            // The coordinator knows best why, if it finds out in time.
            await Task.WhenAny(watching, ended, stopping, Task.Delay(_settings.VerdictDeadline ?? _settings.Timeouts.Verdict, _time, over));
        }

        if (stop.IsCancellationRequested)
        {
            // It has its workers finish their step, writes the state, and sends them home.
            _coordinator.Stop();
            await Task.WhenAny(watching, ended, Task.Delay(_settings.EndDeadline ?? _settings.Timeouts.ProcessEnd, _time, over));
        }

        if (ended.IsCompleted && !watching.IsCompleted)
        {
            // Its last words may still be on their way.
            await Task.WhenAny(watching, Task.Delay(_settings.Timeouts.LastWords, _time, over));
        }

        if (watching.IsCompletedSuccessfully && await watching is { } finished)
        {
            await _processes.EndAsync(stop.IsCancellationRequested ? TimeSpan.Zero : _settings.Timeouts.LastWords);
            return new LocalRunResult(finished.Success, finished.Sentence, finished.SummaryJson);
        }

        if (ended.IsCompleted && await ended == 0)
        {
            return await SummedUpAsync();
        }

        var problem = stop.IsCancellationRequested ? Stopped
            : ended.IsCompleted ? _coordinator.Current.Describe($"{ExitCodes.Words(await ended)} before the run was finished")
            : _hopeless.Task.IsCompleted ? await _hopeless.Task
            : $"The coordinator at {address} no longer answers; its log is {_coordinator.Current.LogPath}.";
        return new LocalRunResult(false, problem, null);
    }

    /// <summary>Ends a run whose coordinator has not said yet where it listens. One that has a run in its hands already ends it in order.</summary>
    private async Task<LocalRunResult> GiveUpAsync()
    {
        _coordinator.Stop();
        var ended = _coordinator.Current.Exit;
        await Task.WhenAny(ended, Task.Delay(_settings.EndDeadline ?? _settings.Timeouts.ProcessEnd, _time, CancellationToken.None));
        return ended is { IsCompletedSuccessfully: true, Result: 0 } ? await SummedUpAsync()
            : ended.IsCompleted ? LocalRunResult.Stopped
            : new LocalRunResult(false, Stopped, null);
    }

    /// <summary>What a coordinator that ended in order left behind.</summary>
    private async Task<LocalRunResult> SummedUpAsync()
    {
        var summary = Path.Combine(_settings.Folder, "summary.json");
        return File.Exists(summary)
            ? new LocalRunResult(true, "", await File.ReadAllTextAsync(summary, CancellationToken.None))
            : new LocalRunResult(false, _coordinator.Current.Describe("ended without a summary"), null);
    }

    /// <summary>Passes events on until the last one; null where the stream is lost for good.</summary>
    private async Task<V1.RunFinished?> WatchAsync(Task<int> ended, Uri address, CancellationToken over)
    {
        for (var attempt = 0; attempt < MostReconnects; attempt = _coordinator.IsDown ? 0 : attempt + 1)
        {
            try
            {
                await foreach (var happened in _settings.Watch(address, over))
                {
                    attempt = 0;
                    _progress.Note(happened);
                    _viewer.Show(happened);
                    if (happened.BodyCase == V1.RunEvent.BodyOneofCase.Finished)
                    {
                        return happened.Finished;
                    }

                    Disturb(happened, address, over);
                }
            }
            catch (Exception broken) when (broken is RpcException or HttpRequestException or IOException && !over.IsCancellationRequested)
            {
                // Asked again below.
            }

            if (ended.IsCompleted)
            {
                return null;
            }

            await Task.Delay(_settings.Timeouts.FirstRedial, _time, over);
        }

        return null;
    }

    /// <summary>Does what the plan of faults says and no process can do to itself.</summary>
    private void Disturb(V1.RunEvent happened, Uri address, CancellationToken over)
    {
        var (step, members) = happened.BodyCase switch
        {
            V1.RunEvent.BodyOneofCase.Started => (0, happened.Started.WorldSize),
            V1.RunEvent.BodyOneofCase.Step => (happened.Step.Step, happened.Step.WorldSize),
            _ => (-1, 0),
        };
        foreach (var fault in step < 0 ? [] : _faults?.Due(step, members) ?? [])
        {
            if (fault.Kind == FaultKind.Join)
            {
                AddWorker(address, over);
            }
            else
            {
                _workers.ForEach(w => Kill(w.Current));
            }
        }
    }

    private static void Kill(ChildProcess? process)
    {
        if (process is { Exit.IsCompleted: false })
        {
            ProcessSignal.Send(process.Id, ProcessSignal.Kill);
        }
    }

    private void AddWorker(Uri address, CancellationToken over)
    {
        Interlocked.Increment(ref _workersLeft);
        var worker = new WorkerSupervisor(_workers.Count, _processes, _policy, _progress, _kills, _faults, Tell, _time);
        _workers.Add(worker);
        _ = KeepAsync(worker, address, over);
    }

    /// <summary>
    /// Whether a run survives the loss of a worker is the coordinator's decision. Only two losses are beyond it: a worker that ended by itself before the run
    /// began, because nobody starts another, and the last one.
    /// </summary>
    private async Task KeepAsync(WorkerSupervisor worker, Uri address, CancellationToken over)
    {
        try
        {
            if (await worker.RunAsync(address, over) is { } sentence)
            {
                _hopeless.TrySetResult(sentence);
            }
        }
        catch (OperationCanceledException)
        {
            // The run is over.
        }
        catch (Exception refused) when (refused is System.ComponentModel.Win32Exception or IOException or UnauthorizedAccessException)
        {
            _hopeless.TrySetResult($"The run's processes cannot be started: {refused.Message}");
        }

        if (Interlocked.Decrement(ref _workersLeft) == 0)
        {
            var last = worker.WasKilledForMemory ? $" Worker {worker.Number} was the last. {MemoryKills.Remedy}" : "";
            _hopeless.TrySetResult($"Every worker process has ended before the run was finished.{last}");
        }
    }

    private void Tell(string name, string sentence) =>
        _viewer.Show(new V1.RunEvent { Happening = new V1.Happening { Name = name, Sentence = sentence } });

    /// <summary>A checkpoint that a killed coordinator was writing. Nobody writes any more.</summary>
    private void RemoveUnfinished()
    {
        try
        {
            foreach (var unfinished in Directory.EnumerateFileSystemEntries(_settings.Folder, "*.tmp", SearchOption.AllDirectories).ToList())
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
}
