using DistTrain.Coordinator;
using DistTrain.Core;
using DistTrain.Core.Health;
using DistTrain.TestKit;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using DistTrain.Worker.Health;
using Microsoft.Extensions.Time.Testing;

namespace DistTrain.Cluster.Tests;

/// <summary>Workers that outlive runs, what they say of themselves, and runs that are not worth another start.</summary>
public sealed class StayTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(60);
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_worker_that_stays_takes_part_in_one_run_after_the_other_with_the_bits_of_a_new_worker()
    {
        using var end = new CancellationTokenSource();
        var vitals = new WorkerVitals(TimeProvider.System);
        await using var first = await LocalCoordinator.StartAsync(_folder.At("first"), LocalCluster.Options("workers=1"));
        await using var relay = new Relay(first.Address);
        var staying = WorkerHost.RunAsync(
            first.Worker(0) with { Coordinator = relay.Address, Stay = true, Vitals = vitals, Patience = TimeSpan.FromMilliseconds(1) }, TimeProvider.System, end.Token);
        Assert.True((await first.Outcome.WaitAsync(Soon, Token)).Success);

        var options = LocalCluster.Options("workers=1", "batch.global=30", "seed=9");
        await using var second = await LocalCoordinator.StartAsync(_folder.At("second"), options);
        relay.Turn(second.Address);
        await second.StepAsync(3);
        Assert.True(vitals.Ready.IsGood, vitals.Ready.Sentence);
        var run = await second.EndAsync([]).WaitAsync(Soon, Token);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Equal((await LocalCluster.RunAsync(_folder.At("new"), options)).Hashes, run.Hashes);

        await UntilAsync(vitals, WorkerActivity.Staying);
        Assert.Equal((false, true), (vitals.Ready.IsGood, vitals.Live.IsGood));
        await end.CancelAsync();
        Assert.True((await staying.WaitAsync(Soon, Token)).Success);
    }

    [Fact]
    public async Task A_worker_that_stays_waits_for_a_name_that_nobody_knows_yet()
    {
        using var end = new CancellationTokenSource();
        var vitals = new WorkerVitals(TimeProvider.System);
        var settings = new WorkerSettings
        {
            Coordinator = new Uri("http://no-such-host.invalid:5400"),
            Listen = "0.0.0.0:0",
            Stay = true,
            Vitals = vitals,
            Tasks = PatternTask.Catalog,
            Log = new LogBook(),
        };
        var staying = WorkerHost.RunAsync(settings, TimeProvider.System, end.Token);
        await UntilAsync(vitals, WorkerActivity.Dialing, "does not answer yet");
        Assert.Equal((true, false, true), (vitals.Startup.IsGood, vitals.Ready.IsGood, vitals.Live.IsGood));
        Assert.NotNull(vitals.Absence);
        await end.CancelAsync();
        Assert.True((await staying.WaitAsync(Soon, Token)).Success);

        var hasty = await WorkerHost.RunAsync(settings with { Stay = false }, TimeProvider.System, Token);
        Assert.StartsWith("There is no route to no-such-host.invalid", hasty.Sentence, StringComparison.Ordinal);
    }

    /// <summary>The clock of the vitals is the test's, so hours pass for whoever asks while nothing happens to the run.</summary>
    [Fact]
    public async Task A_worker_stuck_in_a_block_does_not_live_and_one_that_waits_for_it_does()
    {
        var time = new FakeTimeProvider();
        var (stuck, waiting) = (new WorkerVitals(time), new WorkerVitals(time));
        using var gate = new StuckTask.Gate(at: 10, Soon);
        // Data that get stuck are waited for later, and a loss by other workers of this process: they take turns there.
        var tasks = new TaskCatalog().Add<PatternModel, PatternData>("pattern", context => new FaultyTask(new PatternTask(context), (loss, _) => loss)
        {
            BeforeEvaluate = _ => gate.Pass(),
        });
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options("workers=2", "stop.epochs=20"));
        var workers = new[]
        {
            coordinator.StartWorker(coordinator.Worker(0) with { Vitals = waiting }),
            coordinator.StartWorker(coordinator.Worker(1) with { Vitals = stuck, Tasks = tasks }),
        };
        await gate.Reached.WaitAsync(Soon, Token);
        await UntilAsync(waiting, WorkerActivity.Exchanging);
        Assert.Equal((true, true), (stuck.Live.IsGood, waiting.Live.IsGood));
        time.Advance(TimeSpan.FromHours(3));
        Assert.Equal((false, true), (stuck.Live.IsGood, waiting.Live.IsGood));
        Assert.StartsWith("It is stuck: it computes blocks, and has not got on for 3h; ", stuck.Live.Sentence, StringComparison.Ordinal);
        Assert.Equal((true, true), (stuck.Ready.IsGood, waiting.Ready.IsGood));

        gate.Release();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, Token);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.True(stuck.Live.IsGood, stuck.Live.Sentence);
    }

    /// <summary>A worker that stays goes from a run of small blocks to one of large ones.</summary>
    [Fact]
    public void What_was_measured_of_another_model_does_not_count()
    {
        var time = new FakeTimeProvider();
        var vitals = new WorkerVitals(time);
        vitals.Begin(WorkerActivity.Computing);
        time.Advance(TimeSpan.FromMilliseconds(10));
        vitals.Advance();
        time.Advance(TimeSpan.FromMinutes(2));
        Assert.False(vitals.Live.IsGood);

        vitals.Begin(WorkerActivity.Building);
        vitals.Begin(WorkerActivity.Computing);
        time.Advance(TimeSpan.FromMinutes(2));
        Assert.True(vitals.Live.IsGood, vitals.Live.Sentence);
    }

    [Fact]
    public async Task A_run_that_fails_the_same_way_three_times_over_is_not_worth_another_start()
    {
        var broken = new TaskCatalog().Add<PatternModel, PatternData>("pattern", _ => throw new DataException("There are no numbers: put some there."));
        var ends = new List<RunOutcome>();
        for (var start = 0; start < 3; start++)
        {
            await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options("workers=1"), s => s with { Resume = true });
            await coordinator.StartWorker(coordinator.Worker(-1) with { Tasks = broken }).WaitAsync(Soon, Token);
            ends.Add(await coordinator.Outcome.WaitAsync(Soon, Token));
        }

        Assert.All(ends, e => Assert.Matches("^Worker [0-9]+ cannot go on: There are no numbers", e.Sentence));
        Assert.Equal([false, false, true], ends.Select(e => e.IsFinal));
        Assert.Equal(3, ends.Select(e => e.Sentence).Distinct().Count());
    }

    [Fact]
    public async Task What_no_other_start_would_mend_is_said_to_be_so()
    {
        await LocalCluster.RunAsync(_folder.At("run"), LocalCluster.Options("workers=1"));
        var settings = new CoordinatorSettings { Options = LocalCluster.Options("seed=2"), Folder = _folder.At("run"), Listen = "127.0.0.1:0", Log = new LogBook() };
        Assert.True((await CoordinatorHost.RunAsync(settings with { Resume = true }, TimeProvider.System, Token)).IsFinal);

        await using var owner = await LocalCoordinator.StartAsync(_folder.At("owned"), LocalCluster.Options());
        var second = await CoordinatorHost.RunAsync(settings with { Folder = _folder.At("owned") }, TimeProvider.System, Token);
        Assert.Equal((false, false), (second.Success, second.IsFinal));
        owner.Stop();
    }

    private static async Task UntilAsync(WorkerVitals vitals, WorkerActivity activity, string detail = "")
    {
        using var every = new PeriodicTimer(TimeSpan.FromMilliseconds(10));
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Token);
        deadline.CancelAfter(Soon);
        while (vitals.Condition is var now && (now.Activity != activity || !now.Detail.Contains(detail, StringComparison.Ordinal)))
        {
            await every.WaitForNextTickAsync(deadline.Token);
        }
    }
}
