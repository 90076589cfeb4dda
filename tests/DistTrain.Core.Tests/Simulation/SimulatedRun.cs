using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>
/// A whole run in one thread, on a clock of its own: the real machine of the coordinator, workers that keep to the protocol, and a network that delays, loses and
/// repeats what it may. After every event the invariants must hold.
/// </summary>
internal sealed class SimulatedRun
{
    /// <summary>More than a run that goes on needs after the last fault.</summary>
    private const long EventsAllowed = 300_000;

    private static readonly TimeSpan TimeAllowed = TimeSpan.FromMinutes(5);

    private readonly List<SimulatedWorker> _workers = [];
    private ulong _term = 1;
    private bool _isRestarting;

    public SimulatedRun(SimulationCase history, bool isTraced = false)
    {
        Case = history;
        Random = new Random(history.Seed);
        Scheduler = new Scheduler(Random);
        Network = new SimulatedNetwork(Scheduler);
        Canonical = new CanonicalRun(history.Options, history.Course());
        Disk = new SimulatedDisk(this);
        Invariants = new Invariants(this);
        Trace = isTraced ? new Trace(this) : null;
        Proof = new WorkerPreparation(
            history.TrainingSamples, history.ValidationSamples, "data", "layout", "probe", Canonical.NameOf(CanonicalRun.InitialWeights), ["accuracy"], 0, []);
        Coordinator = new SimulatedCoordinator(this, _term, null);
        Faults = new Faults(this);
    }

    public SimulationCase Case { get; }

    public Random Random { get; }

    public Scheduler Scheduler { get; }

    public SimulatedNetwork Network { get; }

    public CanonicalRun Canonical { get; }

    public SimulatedDisk Disk { get; }

    public Invariants Invariants { get; }

    public Trace? Trace { get; }

    public Counts Counts { get; } = new();

    public Faults Faults { get; }

    /// <summary>What every worker proves.</summary>
    public WorkerPreparation Proof { get; }

    public SimulatedCoordinator Coordinator { get; private set; }

    /// <summary>All there ever were, by number.</summary>
    public IReadOnlyList<SimulatedWorker> Workers => _workers;

    public RunOutcome? Outcome { get; private set; }

    /// <summary>Plays the history to its end.</summary>
    /// <exception cref="InvariantBrokenException">A rule does not hold.</exception>
    public void Play()
    {
        for (var i = 0; i < Case.Options.Workers; i++)
        {
            Start();
        }

        Tick();
        while (Outcome is null)
        {
            Scheduler.Step();
            Invariants.WeightsAreThoseOfTheirOperation();
            Faults.Consider();
            if (Scheduler.Events - Faults.LastEvent > EventsAllowed || Scheduler.Now - Faults.LastTime > TimeAllowed)
            {
                Invariants.RunsGoOn($"the faults are over since {Faults.LastTime:c}, and the run does not end");
            }
        }

        Invariants.RunsComplete();
        (Counts.Events, Counts.Operations, Counts.Generations) = (Scheduler.Events, (long)Canonical.Count, (long)Disk.Generation);
    }

    /// <summary>A worker's process starts.</summary>
    /// <param name="killedForMemory">One in whose place it is started, as the system killed that for want of memory; null for none.</param>
    public void Start(SimulatedWorker? killedForMemory = null)
    {
        var worker = new SimulatedWorker(this, _workers.Count, killedForMemory);
        _workers.Add(worker);
        worker.Join();
    }

    /// <summary>Holds back what a process would do that gets no time to run.</summary>
    /// <returns>Whether it does.</returns>
    public bool IsPaused(Source source, int process)
    {
        if (process == SimulatedNetwork.Coordinator || !_workers[process].IsPaused)
        {
            return false;
        }

        _workers[process].Parked.Add(source);
        Scheduler.Sleep(source);
        return true;
    }

    /// <summary>The coordinator was killed, and starts again some time.</summary>
    public void Restart()
    {
        if (_isRestarting)
        {
            return;
        }

        _isRestarting = true;
        Disk.Tear();
        Invariants.BeginLineage();
        Scheduler.After(TimeSpan.FromMilliseconds(Random.Next(2000)), () =>
        {
            _isRestarting = false;
            Counts.Restarts++;
            Coordinator = new SimulatedCoordinator(this, ++_term, Disk.Memory());
            Trace?.Note($"The coordinator starts again: {Disk.Memory()}.");
        });
    }

    /// <summary>Notes what the machine tells people.</summary>
    public void Heed(string name)
    {
        switch (name)
        {
            case "waiting":
                Counts.Deserted++;
                Invariants.BeginLineage();
                break;
            case "resumed":
                Counts.Resumptions++;
                Invariants.BeginLineage();
                break;
            case "rollback":
                Counts.Rollbacks++;
                Invariants.BeginLineage();
                break;
            case "link-broke":
                Counts.BrokenLinks++;
                break;
            case "checkpoint-failed":
                Counts.FailedCheckpoints++;
                break;
        }
    }

    public void End(RunOutcome outcome) => Outcome = outcome;

    /// <summary>Time is told to everyone, five times in the time in which a loss is noticed; and whoever starts workers sees that there are enough.</summary>
    private void Tick()
    {
        Coordinator.Tick();
        var living = 0;
        foreach (var worker in _workers)
        {
            worker.Tick();
            living += worker.IsAlive ? 1 : 0;
        }

        if (living < Case.Options.Workers && Random.Next(2) == 0)
        {
            Start();
        }

        Scheduler.After(Case.Timeouts.Heartbeat, Tick);
    }
}
