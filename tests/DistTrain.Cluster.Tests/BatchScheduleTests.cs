using DistTrain.Cli.Tasks;
using DistTrain.Coordinator;
using DistTrain.Core;
using DistTrain.TestKit;

namespace DistTrain.Cluster.Tests;

/// <summary>A global batch that changes over the run, as told or by what the run shows, and early stops: the same bits on any number of workers, through a kill at a change and a resume across one.</summary>
public sealed class BatchScheduleTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(90);

    /// <summary>Every evaluation but the first shows no improvement: the batch changes at steps 12, 17 and 22.</summary>
    private static readonly string[] Plateau =
    [
        "batch.global=20", "batch.micro=3", "batch.blocks=8", "stop.epochs=0", "stop.steps=40", "evaluate.everyEpochs=0", "evaluate.everySteps=5", "checkpoint.everySteps=7",
        "batch.schedule.name=plateau", "batch.schedule.patience=1", "batch.schedule.minimumImprovement=1000", "batch.schedule.most=60", "batch.schedule.factor=1.5",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("1-10:20 11-24:70 25-30:9", "batch.schedule.name=stages", "batch.schedule.stages.10 steps=70", "batch.schedule.stages.24 steps=9", "stop.epochs=0", "stop.steps=30")]
    [InlineData("1-3:4 4-6:8 7-9:12 10-12:16 13-20:20", "batch.schedule.name=warmup", "batch.schedule.first=4", "batch.schedule.overSteps=12", "batch.micro=4", "stop.epochs=0", "stop.steps=20")]
    [InlineData("1-11:20 12-17:40 18-20:80 21-29:100", "batch.schedule.name=decay", "batch.schedule.most=100", "schedule.name=step", "schedule.everyEpochs=1", "schedule.factor=0.5", "stop.epochs=6")]
    [InlineData("1-11:20 12-16:30 17-21:45 22-40:60")]
    public async Task Any_number_of_workers_takes_the_same_batches_and_gives_the_same_bits(string batches, params string[] settings)
    {
        List<ClusterRun> runs = [];
        foreach (var workers in new[] { 1, 2, 3, 5 })
        {
            runs.Add(await LocalCluster.RunAsync(
                _folder.At($"w{workers}"), LocalCluster.Options([.. settings.Length == 0 ? Plateau : ["batch.global=20", "batch.micro=3", "batch.blocks=8", .. settings], $"workers={workers}"])));
        }

        Assert.All(runs, run => Assert.True(run.Coordinator.Success, run.Coordinator.Sentence));
        Assert.All(runs, run => Assert.Equal(runs[0].Hashes, run.Hashes));
        Assert.All(runs, run => Assert.Equal(Batches(runs[0]), Batches(run)));
        Assert.Equal(runs[0].Hashes.Count, runs[0].Hashes.Distinct().Count());

        // Every step but the last of an epoch takes the batch it should.
        var used = 0L;
        foreach (var (step, batch) in Expected(batches))
        {
            var line = runs[0].Metrics[(int)step - 1];
            Assert.Equal(Math.Min(batch, 203 - (used % 203)), line.GetProperty("globalBatch").GetInt64());
            used = line.GetProperty("samples").GetInt64();
        }

        Assert.Equal(Expected(batches).Count(), runs[0].Metrics.Count);
    }

    [Fact]
    public async Task The_noise_scale_leads_the_batch_of_any_number_of_workers_alike()
    {
        string[] settings =
        [
            "task=image-classification", "model.name=mlp", "model.hidden=16", "data.name=digits", "batch.global=32", "batch.micro=4", "stop.epochs=0", "stop.steps=80", "evaluate.everyEpochs=0",
            "batch.schedule.name=noise", "batch.schedule.first=16", "batch.schedule.most=256", "batch.schedule.everySteps=10",
        ];
        var runs = new List<ClusterRun>();
        foreach (var workers in new[] { 1, 3 })
        {
            runs.Add(await LocalCluster.RunAsync(_folder.At($"w{workers}"), LocalCluster.Options([.. settings, $"workers={workers}"]), tasks: BuiltInTasks.Catalog()));
            Assert.True(runs[^1].Coordinator.Success, runs[^1].Coordinator.Sentence);
        }

        Assert.Equal(runs[0].Hashes, runs[1].Hashes);
        Assert.Equal(Batches(runs[0]), Batches(runs[1]));
        Assert.Contains(runs[0].Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "batch" && e.GetProperty("sentence").GetString()!.Contains("the noise scale is ", StringComparison.Ordinal));
        Assert.True(Batches(runs[0]).Distinct().Count() > 1);
    }

    [Theory]
    [InlineData("stages", 10)]
    [InlineData("plateau", 11)]
    public async Task A_kill_at_a_change_costs_no_step(string schedule, int last)
    {
        string[] settings = [.. Of(schedule), "debug.delayPerMicroBatch.0=2ms", "failureDetection=5s"];
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options([.. settings, "workers=3"]));
        await using var relay = new Relay(coordinator.Address);
        Uri[] ways = [coordinator.Address, relay.Address, coordinator.Address];
        var workers = ways.Select((way, n) => coordinator.StartWorker(coordinator.Worker(n) with { Coordinator = way, Patience = TimeSpan.FromSeconds(1) })).ToList();

        // The last step before the change is done, the first behind it under way.
        await coordinator.StepAsync(last);
        relay.Cut();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);
        await SameAsUndisturbedAsync(run, settings);
        Assert.Equal([true, false, true], run.Workers.Select(w => w.Success));
    }

    [Theory]
    [InlineData("stages", 9, 1)]
    [InlineData("plateau", 10, 3)]
    [InlineData("plateau", 13, 2)]
    [InlineData("plateau", 18, 1)]
    public async Task A_run_is_resumed_across_a_change(string schedule, int stopped, int after)
    {
        string[] settings = [.. Of(schedule), "debug.delayPerMicroBatch.0=2ms"];
        await using (var first = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options([.. settings, "workers=2"])))
        {
            var workers = Enumerable.Range(0, 2).Select(n => first.StartWorker(first.Worker(n))).ToList();
            await first.StepAsync(stopped);
            first.Stop();
            Assert.Equal(RunStatus.Stopped, (await first.Outcome.WaitAsync(Soon, TestContext.Current.CancellationToken)).Status);
            await Task.WhenAll(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);
        }

        await using var second = await ResumeAsync([.. settings, $"workers={after}"]);
        await SameAsUndisturbedAsync(await EndAsync(second, after), settings);
    }

    [Fact]
    public async Task Where_no_state_is_left_what_was_decided_behind_the_checkpoint_counts_when_it_is_computed_again()
    {
        string[] settings = [.. Plateau, "debug.delayPerMicroBatch.0=2ms", "failureDetection=5s"];
        await using (var first = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options([.. settings, "workers=1"])))
        {
            await using var relay = new Relay(first.Address);
            var lost = first.StartWorker(first.Worker(0) with { Coordinator = relay.Address, Patience = TimeSpan.FromSeconds(5) });

            // Checkpoint 7 is behind, what the evaluation after step 10 showed has changed the batch of step 12.
            await first.StepAsync(13);
            relay.Cut();
            await lost.WaitAsync(Soon, TestContext.Current.CancellationToken);
            first.Stop();
        }

        await using var second = await ResumeAsync([.. settings, "workers=1"]);
        var run = await EndAsync(second, 1);
        await SameAsUndisturbedAsync(run, settings);
        Assert.DoesNotContain(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "recomputed-differs");
    }

    [Theory]
    [InlineData(16, "Completed 16 steps, and ended early: the validation loss has not improved on .* by more than 1000 in 2 evaluations\\.", "stop.patience=2", "stop.minimumImprovement=1000")]
    [InlineData(6, "Completed 6 steps, and ended early: the validation loss is .*, and stop\\.validationLoss 1000\\.", "stop.validationLoss=1000")]
    public async Task A_run_that_ends_early_says_why_and_leaves_its_last_state_and_evaluation(int steps, string sentence, params string[] stop)
    {
        string[] settings = ["stop.epochs=0", "stop.steps=40", "evaluate.everySteps=5", "checkpoint.everySteps=9"];
        var whole = await LocalCluster.RunAsync(_folder.At("whole"), LocalCluster.Options([.. settings, "workers=1"]));
        var run = await LocalCluster.RunAsync(_folder.At("run"), LocalCluster.Options([.. settings, .. stop, "workers=2"]));
        Assert.Matches($"^{sentence}$", run.Summary.GetProperty("reason").GetString());
        Assert.Equal((steps, "completed"), (run.Summary.GetProperty("steps").GetInt32(), run.Summary.GetProperty("status").GetString()));
        Assert.Equal(whole.Hashes.Take(steps), run.Hashes);
        Assert.Equal(steps, run.Lines("evaluations.jsonl")[^1].GetProperty("step").GetInt32());
        Assert.True(Directory.Exists(Path.Combine(run.Folder, "checkpoints", $"step-{steps:D8}")));
        Assert.Equal(64, run.Summary.GetProperty("weightsSha256").GetString()!.Length);

        // The same again has nothing left to do; with another word on when to end the run goes on.
        var settled = LocalCluster.Options([.. settings, .. stop, "workers=2"]);
        var ended = await CoordinatorHost.RunAsync(
            new CoordinatorSettings { Options = settled, Folder = _folder.At("run"), Listen = "127.0.0.1:0", Log = new LogBook(), Resume = true }, TimeProvider.System, TestContext.Current.CancellationToken);
        Assert.EndsWith("Nothing is left to do.", ended.Sentence, StringComparison.Ordinal);
        await using var longer = await ResumeAsync([.. settings, "workers=1"]);
        Assert.Equal(whole.Hashes, (await EndAsync(longer, 1)).Hashes);
    }

    private static string[] Of(string schedule) => schedule == "plateau" ? Plateau :
    [
        "batch.global=20", "batch.micro=3", "batch.blocks=8", "stop.epochs=0", "stop.steps=30", "evaluate.everySteps=7", "checkpoint.everySteps=6",
        "batch.schedule.name=stages", "batch.schedule.stages.10 steps=70",
    ];

    private static List<long> Batches(ClusterRun run) => [.. run.Metrics.Select(m => m.GetProperty("globalBatch").GetInt64())];

    private static IEnumerable<(long Step, long Batch)> Expected(string batches) =>
        from part in batches.Split(' ')
        let cut = part.Split('-', ':')
        from step in Enumerable.Range(int.Parse(cut[0]), int.Parse(cut[1]) - int.Parse(cut[0]) + 1)
        select ((long)step, long.Parse(cut[2]));

    private Task<LocalCoordinator> ResumeAsync(string[] settings) =>
        LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options(settings), s => s with { Resume = true });

    private static async Task<ClusterRun> EndAsync(LocalCoordinator coordinator, int workers)
    {
        var all = Enumerable.Range(0, workers).Select(n => coordinator.StartWorker(coordinator.Worker(n))).ToList();
        return await coordinator.EndAsync(all).WaitAsync(Soon, TestContext.Current.CancellationToken);
    }

    private async Task SameAsUndisturbedAsync(ClusterRun run, string[] settings)
    {
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        var undisturbed = await LocalCluster.RunAsync(_folder.At("undisturbed"), LocalCluster.Options([.. settings, "debug.delayPerMicroBatch.0=0ms", "workers=1"]));
        Assert.Equal(undisturbed.Hashes, run.Hashes);
        Assert.Equal(Batches(undisturbed), Batches(run));
        Assert.Equal(Enumerable.Range(1, run.Metrics.Count), run.Metrics.Select(m => m.GetProperty("step").GetInt32()));
    }
}
