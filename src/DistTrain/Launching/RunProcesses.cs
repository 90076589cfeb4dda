using System.Globalization;
using DistTrain.Core.Faults;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Protocol.Faults;
using DistTrain.Worker;

namespace DistTrain.Launching;

/// <summary>The processes of a local run: how they are started, and that all of them end.</summary>
internal sealed class RunProcesses(LocalRunSettings settings, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly List<ChildProcess> _living = [];
    private readonly string? _memoryShare = ShareOf(settings.Options);
    private bool _isOver;

    /// <summary>The run's folder.</summary>
    public string Folder => settings.Folder;

    /// <summary>Starts one. Its log goes on where that of an earlier one of its name ends.</summary>
    /// <param name="name">What people call it.</param>
    /// <param name="log">The name of its log.</param>
    /// <param name="arguments">Verb and options.</param>
    /// <param name="faults">What it is to do to itself.</param>
    /// <param name="heard">Told of every line of its output.</param>
    /// <param name="wasKilledForMemory">Whether the system killed the one before for want of memory.</param>
    /// <exception cref="OperationCanceledException">The run is over.</exception>
    public ChildProcess Start(
        string name, string log, IEnumerable<string> arguments, IReadOnlyList<Fault> faults, Action<ChildProcess, string>? heard,
        bool wasKilledForMemory = false)
    {
        lock (_gate)
        {
            if (_isOver)
            {
                throw new OperationCanceledException("The run is over.");
            }

            var environment = ChildEnvironment(faults);
            environment[MemoryKills.Variable] = wasKilledForMemory ? "true" : null;
            var child = ChildProcess.Start(name, settings.Program, arguments, environment, Path.Combine(Folder, "logs", log), time, heard);
            _living.Add(child);
            return child;
        }
    }

    /// <summary>Lets go of one that has ended.</summary>
    public void Forget(ChildProcess ended)
    {
        lock (_gate)
        {
            _living.Remove(ended);
        }

        ended.Dispose();
    }

    /// <summary>
    /// Waits a bounded time until all have ended. A worker that has joined hears of the end of the run from its coordinator; one that still tries to would go on trying, and is asked.
    /// </summary>
    /// <param name="patience">How long they may take before they are asked to end.</param>
    public async Task EndAsync(TimeSpan patience)
    {
        var living = Living();
        var all = Task.WhenAll(living.Select(c => c.Exit));
        await Task.WhenAny(all, Task.Delay(patience, time, CancellationToken.None));
        living.ForEach(c => c.Release());
        await Task.WhenAny(all, Task.Delay(settings.EndDeadline ?? settings.Timeouts.ProcessEnd, time, CancellationToken.None));
    }

    /// <summary>Asks all to end, and ends those that do not. None can be started afterwards.</summary>
    public async Task StopAllAsync()
    {
        lock (_gate)
        {
            _isOver = true;
        }

        await EndAsync(TimeSpan.Zero);
        var living = Living();
        var all = Task.WhenAll(living.Select(c => c.Exit));
        if (!all.IsCompleted)
        {
            living.Where(c => !c.Exit.IsCompleted).ToList().ForEach(c => c.Kill());
            await Task.WhenAny(all, Task.Delay(settings.EndDeadline ?? settings.Timeouts.ProcessEnd, time, CancellationToken.None));
        }

        living.ForEach(c => c.Dispose());
    }

    private List<ChildProcess> Living()
    {
        lock (_gate)
        {
            return [.. _living];
        }
    }

    /// <summary>
    /// The configuration is resolved already, so variables that set keys must not be read a second time, below it. A worker computes with as
    /// many threads as the run says, and none of them spins while it waits: workers share the processors.
    /// </summary>
    private Dictionary<string, string?> ChildEnvironment(IReadOnlyList<Fault> faults)
    {
        var environment = settings.Environment.Keys
            .Where(k => k.StartsWith(Configuration.RunConfiguration.Prefix, StringComparison.Ordinal))
            .ToDictionary(k => k, _ => (string?)null);
        environment[Supervision.Variable] = Duration.Format(settings.Timeouts.Grace);
        environment["OMP_NUM_THREADS"] = settings.Environment.GetValueOrDefault("OMP_NUM_THREADS", $"{settings.Options.Threads}");
        environment["OMP_WAIT_POLICY"] = settings.Environment.GetValueOrDefault("OMP_WAIT_POLICY", "passive");
        environment[HostMemory.Variable] = _memoryShare;
        environment[FaultInjector.Variable] = faults.Count == 0 ? null : FaultInjector.Write(faults);
        return environment;
    }

    /// <summary>What each worker may take of the memory there is before any of them starts; null where nobody asks.</summary>
    private static string? ShareOf(RunOptions options) => options.Batch.IsAuto && options.Memory.Limit is null
        ? MemoryLimit.Share(HostMemory.Limit(), options.Workers).ToString(CultureInfo.InvariantCulture)
        : null;
}
