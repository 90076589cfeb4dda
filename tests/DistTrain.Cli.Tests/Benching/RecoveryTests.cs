using DistTrain.Benching;
using DistTrain.Core.Faults;
using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Protocol.Faults;

namespace DistTrain.Cli.Tests.Benching;

/// <summary>How recovery times are made of what was seen of a run.</summary>
public sealed class RecoveryTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    [Fact]
    public void A_kill_costs_the_time_until_its_step_less_a_step_and_what_was_computed_again()
    {
        var kill = new Fault { Id = 1, Kind = FaultKind.Kill, Worker = 3, Step = 5 };
        var notice = new FaultNotice(1, 5, At(1000));

        // Step 4 was on its way when the worker died, and step 6 is none of its business.
        var log = Log([(kill, notice)], [Step(3, 990), Step(4, 1010), Step(5, 1300), Step(6, 1340)], compute: new() { [5] = 60 });
        var disturbance = log.After(kill, notice)!;
        Assert.Equal((300, 40, 60, 200), (disturbance.ElapsedMs, disturbance.StepMs, disturbance.RecomputedMs, disturbance.CostMs));
    }

    [Fact]
    public void A_coordinator_counts_from_its_return()
    {
        var restart = new Fault { Id = 1, Kind = FaultKind.RestartCoordinator, Step = 5 };
        var notice = new FaultNotice(1, 5, At(1000));
        var log = Log([(restart, notice)], [Step(4, 999), Step(5, 1001), Step(6, 4000)], returns: [At(500), At(3000)], compute: new() { [6] = 60 });
        Assert.Equal((1000, 0), (log.After(restart, notice)!.ElapsedMs, log.After(restart, notice)!.RecomputedMs));
        Assert.Null((log with { Returns = [At(500)] }).After(restart, notice));
    }

    [Fact]
    public void A_fault_without_a_step_after_it_is_not_measured()
    {
        var kill = new Fault { Id = 1, Kind = FaultKind.Kill, Worker = 3, Step = 5 };
        var notice = new FaultNotice(1, 5, At(1000));
        Assert.Null(Log([(kill, notice)], [Step(4, 1010)]).After(kill, notice));
    }

    [Theory]
    [InlineData(0.5, 5)]
    [InlineData(0.95, 10)]
    [InlineData(0.1, 1)]
    public void Quantiles_are_values_that_occurred(double share, double expected) =>
        Assert.Equal(expected, RecoveryLog.Quantile([.. Enumerable.Range(1, 10).Select(i => (double)(11 - i))], share));

    [Fact]
    public void The_report_holds_each_kind_against_its_limit()
    {
        List<(Fault, FaultNotice)> faults = [];
        List<CompletedStep> steps = [];
        for (var i = 1; i <= 4; i++)
        {
            var isPause = i == 4;
            faults.Add((new Fault { Id = i, Kind = isPause ? FaultKind.Pause : FaultKind.Kill, Worker = 1, Step = i }, new FaultNotice(i, i, At(10_000 * i))));
            steps.Add(Step(i, (10_000 * i) + (isPause ? 2600 : 200 * i)));
        }

        var report = new RecoveryReport(Log(faults, steps), TimeSpan.FromSeconds(2));
        var kinds = report.Json()["kinds"]!.AsArray();
        Assert.Equal(("killed", 3, 360, 560, 500, false), Row(0));
        Assert.Equal(("silent", 1, 2560, 2560, 2500, false), Row(1));

        var text = new StringWriter();
        report.Write(text);
        Assert.Matches(@"(?m)^killed +3 +360 +560 +500 +over$", text.ToString());
        Assert.Matches(@"(?m)^worker 1 silent +4 +2600 +40 +0 +2560$", text.ToString());

        (string, int, double, double, double, bool) Row(int index) => (
            (string)kinds[index]!["kind"]!, (int)kinds[index]!["count"]!, (double)kinds[index]!["p50Ms"]!, (double)kinds[index]!["p95Ms"]!,
            (double)kinds[index]!["limitMs"]!, (bool)kinds[index]!["within"]!);
    }

    [Fact]
    public void Every_fault_of_the_plan_waits_for_all_workers_and_the_coordinator_comes_first()
    {
        var plan = RecoveryPlan.Of(workers: 4, kills: 3, restarts: 2, TimeSpan.FromSeconds(2));
        Assert.Equal(
            [FaultKind.RestartCoordinator, FaultKind.RestartCoordinator, FaultKind.Kill, FaultKind.Kill, FaultKind.Kill, FaultKind.Pause],
            plan.Faults.Select(f => f.Kind));
        Assert.All(plan.Faults, f => Assert.Equal(4, f.Members));
        Assert.Equal(plan.Faults.Select(f => f.Step).Order(), plan.Faults.Select(f => f.Step));
    }

    [Fact]
    public async Task A_bench_that_is_stopped_says_so_and_not_that_its_time_was_up()
    {
        using var folder = new TempFolder();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var program = ChildCommand.OfThisProcess();
        var settings = new LocalRunSettings
        {
            Options = new RunOptions { Workers = StandIn.Workers },
            Folder = folder.Path,
            Program = program with { Prefix = [.. program.Prefix, "stand-in", $"{Scenario.Endless}"] },
            Environment = new Dictionary<string, string>(),
            Faults = new FaultPlan(1, [new Fault { Id = 1, Kind = FaultKind.Kill, Worker = 1, Step = 1000 }]),
        };
        await using var bench = new RecoveryBench(settings, new Interrupting(stop), TimeProvider.System);
        var (_, problem) = await bench.RunAsync(stop.Token);
        Assert.Equal($"1 of 1 recoveries were not seen: the bench was stopped; see {folder.Path}.", problem);
    }

    private static DateTimeOffset At(double milliseconds) => Start.AddMilliseconds(milliseconds);

    private static CompletedStep Step(long step, double at) => new(step, At(at), 40);

    private static RecoveryLog Log(
        IReadOnlyList<(Fault, FaultNotice)> faults, IReadOnlyList<CompletedStep> steps, IReadOnlyList<DateTimeOffset>? returns = null,
        Dictionary<long, double>? compute = null) =>
        new() { Faults = faults, Steps = steps, Returns = returns ?? [], ComputeMs = compute ?? [] };

    /// <summary>Where people are told what happens, one of whom presses Ctrl-C at once.</summary>
    private sealed class Interrupting(CancellationTokenSource stop) : StringWriter
    {
        public override void WriteLine(string? value) => _ = stop.CancelAsync();
    }
}
