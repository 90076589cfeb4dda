namespace DistTrain.Launching;

/// <summary>A worker of a local run, from its first process to its last.</summary>
/// <param name="number">Its number.</param>
/// <param name="processes">The run's processes.</param>
/// <param name="policy">When it is started again.</param>
/// <param name="progress">How far the run has come.</param>
/// <param name="kills">Which processes the system killed for want of memory.</param>
/// <param name="faults">What is done to the run on purpose; null for nothing.</param>
/// <param name="tell">Tells people: a name and a sentence.</param>
/// <param name="time">The clock.</param>
internal sealed class WorkerSupervisor(
    int number, RunProcesses processes, RestartPolicy policy, RunProgress progress, MemoryKillWatch kills, FaultDirector? faults, Action<string, string> tell, TimeProvider time)
{
    private volatile ChildProcess? _current;

    /// <summary>Its number.</summary>
    public int Number => number;

    /// <summary>Whether the system seems to have killed its last process that ended for want of memory.</summary>
    public bool WasKilledForMemory { get; private set; }

    /// <summary>Its process; null between two of them.</summary>
    public ChildProcess? Current => _current;

    /// <summary>Keeps it running until it has ended for good.</summary>
    /// <param name="coordinator">Where the coordinator listens.</param>
    /// <param name="over">The run is over.</param>
    /// <returns>Why the run cannot do without it, where it ended before the run began; else null.</returns>
    public async Task<string?> RunAsync(Uri coordinator, CancellationToken over)
    {
        for (var state = default(RestartState); ;)
        {
            var process = processes.Start(
                $"worker {number}", $"worker-{number}.log", ["worker", "--coordinator", coordinator.OriginalString, "--number", $"{number}"],
                faults?.LeftOfWorker(number) ?? [], faults is null ? null : faults.Hear, WasKilledForMemory);
            _current = process;
            var code = await process.Exit;
            _current = null;
            if (code == 0 || progress.HasFinished || over.IsCancellationRequested)
            {
                return null;
            }

            WasKilledForMemory = kills.Take(code);
            if (WasKilledForMemory)
            {
                tell("killed-for-memory", $"{process.Title} was killed, it seems by the system, which says that it has killed a process of this control group for want of memory.");
            }

            var decision = policy.Decide(state, code, progress.Advances);
            state = decision.State;
            tell(decision.Again ? "process-restarted" : "process-ended", decision.Sentence(process, code));
            if (!decision.Again)
            {
                return progress.HasStarted
                    ? null
                    : process.Describe($"{ExitCodes.Words(code)} before the run began") + (WasKilledForMemory ? $" {MemoryKills.Remedy}" : "");
            }

            processes.Forget(process);
            await Task.Delay(decision.Pause, time, over);
        }
    }
}
