using DistTrain.Core.Membership;
using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Membership;

/// <summary>A machine, and what it last decided.</summary>
internal sealed class MachineRun
{
    /// <summary>What every worker proves.</summary>
    public static readonly WorkerPreparation Proof =
        new(100, 10, "data0123456789", "layout", "probe0123456789", "weights0123456789", ["accuracy"], 0, []);

    private static readonly TimeSpan Beat = Timeouts.Default.Heartbeat;
    private readonly RunMachine _machine;
    private readonly List<int> _arrived = [];

    public MachineRun(int workers, Func<RunOptions, RunOptions>? change = null, RunMemory? memory = null)
    {
        var options = new RunOptions
        {
            Workers = workers,
            Batch = new BatchOptions { Global = 25 },
            Stop = new StopOptions { Epochs = 1 },
        };
        _machine = new RunMachine(change?.Invoke(options) ?? options, "1.0", "fingerprint", memory);
    }

    public TimeSpan Now { get; set; }

    public bool PromisesSameBits => _machine.PromisesSameBits;

    public long Looks => _machine.Looks;

    public IReadOnlyList<RunEffect> Effects { get; private set; } = [];

    public RunOutcome? Outcome { get; private set; }

    public static WorkerHello Hello(int worker) =>
        new(RunMachine.Protocol, "1.0", worker, $"host{worker}", 100 + worker, $"http://host{worker}:1", "any", "fingerprint");

    public static OperationReport ReportOf(ulong operation, ulong generation = 1) =>
        new() { Generation = generation, Operation = operation, WeightsHash = $"{operation}", Weight = 1 };

    public void Handle(RunEvent happened)
    {
        Effects = _machine.Handle(happened, Now);
        Outcome = Effects.OfType<RunEffect.Finish>().SingleOrDefault()?.Outcome ?? Outcome;
    }

    public void Arrive(int worker, int? number = null)
    {
        _arrived.Add(worker);
        Handle(new RunEvent.Arrived(worker, Hello(worker) with { Number = number ?? worker }));
    }

    public void PrepareAll()
    {
        Handle(new RunEvent.CheckpointPublished(0));
        var seen = new List<RunEffect>();
        foreach (var worker in _arrived)
        {
            Handle(new RunEvent.Prepared(worker, Proof));
            seen.AddRange(Effects);
        }

        Effects = seen;
    }

    public void Report(int worker, ulong operation, string? hash = null)
    {
        var report = ReportOf(operation);
        Handle(new RunEvent.Reported(worker, report with { WeightsHash = hash ?? report.WeightsHash }));
    }

    /// <summary>Lets time pass, of which the machine is told as often as a coordinator tells it.</summary>
    public void Pass(TimeSpan time)
    {
        var seen = new List<RunEffect>();
        for (var end = Now + time; Now < end;)
        {
            var next = Now + Beat;
            Now = next < end ? next : end;
            Handle(new RunEvent.TimePassed());
            seen.AddRange(Effects);
        }

        Effects = seen;
    }

    /// <summary>A worker comes back with the state after an operation, and tells of it as it is asked to.</summary>
    public void ComeBack(int worker, ulong applied, string? hash = null, ulong reportsFrom = 1)
    {
        Handle(new RunEvent.Arrived(worker, Hello(worker) with { Offer = applied }));
        Assert.Contains(new RunEffect.Keep(worker), Effects);
        Handle(new RunEvent.Kept(worker, Proof with { Applied = applied, WeightsHash = hash ?? $"{applied}" },
            [.. Enumerable.Range((int)reportsFrom, (int)(applied + 1 - reportsFrom)).Select(o => ReportOf((ulong)o))]));
    }

    /// <summary>A run whose workers are prepared.</summary>
    public static MachineRun Prepared(int workers, Func<RunOptions, RunOptions>? change = null)
    {
        var run = new MachineRun(workers, change);
        for (var worker = 0; worker < workers; worker++)
        {
            run.Arrive(worker);
        }

        run.PrepareAll();
        return run;
    }

    /// <summary>A run whose workers are linked.</summary>
    public static MachineRun Linked(int workers, Func<RunOptions, RunOptions>? change = null)
    {
        var run = Prepared(workers, change);
        for (var worker = 0; worker < workers; worker++)
        {
            run.Handle(new RunEvent.Linked(worker, 1, 0, []));
        }

        return run;
    }

    /// <summary>An event costs the run a worker, and it says so to both.</summary>
    public static void Loses(int worker, MachineRun run, RunEvent happened, string reason, bool mayReturn)
    {
        run.Handle(happened);
        Assert.Contains(new RunEffect.Announce("lost", $"Worker {worker} on host{worker} (process {100 + worker}) was lost: {reason}."), run.Effects);
        Assert.Contains(new RunEffect.Dismiss(worker, Success: false, mayReturn, $"It counts as lost: {reason}."), run.Effects);
        Assert.Null(run.Outcome);
    }

    /// <summary>An event ends the run, without success.</summary>
    public static void EndsWith(MachineRun run, RunEvent happened, string sentence)
    {
        run.Handle(happened);
        Assert.Equal(new RunOutcome(false, sentence), run.Outcome);
        Assert.IsType<RunEffect.Finish>(run.Effects[^1]);
    }
}
