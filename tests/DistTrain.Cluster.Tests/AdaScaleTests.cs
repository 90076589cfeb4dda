using DistTrain.Core;
using DistTrain.TestKit;
using DistTrain.Worker;

namespace DistTrain.Cluster.Tests;

/// <summary>A rate that follows the measured gain, and a run that ends by it: the same gains, rates and bits on any number of workers, through restarts of the coordinator and a resume.</summary>
public sealed class AdaScaleTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(90);
    private static readonly Uri Nowhere = new("http://127.0.0.1:9");

    /// <summary>203 samples, steps of 40 and a last one of 3; the whole run is 12 epochs in batches of 10, or more.</summary>
    private static readonly string[] Run =
    [
        "batch.global=40", "batch.micro=3", "batch.blocks=8", "stop.epochs=12", "evaluate.everyEpochs=0", "evaluate.everySteps=7", "checkpoint.everySteps=9",
        "schedule.name=cosine", "schedule.warmupSteps=20", "schedule.scaling=adascale", "schedule.referenceBatch=10", "optimizer.learningRate=0.02",
    ];

    private static readonly string[] Slow = [.. Run, "failureDetection=5s", "debug.delayPerMicroBatch.0=1ms"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Any_number_of_workers_has_the_same_gains_and_the_same_end()
    {
        List<ClusterRun> runs = [];
        foreach (var workers in new[] { 1, 2, 3, 5 })
        {
            runs.Add(await LocalCluster.RunAsync(_folder.At($"w{workers}"), LocalCluster.Options([.. Run, $"workers={workers}"])));
        }

        Assert.All(runs, run => Assert.True(run.Coordinator.Success, run.Coordinator.Sentence));
        Assert.All(runs, run => Assert.Equal(runs[0].Hashes, run.Hashes));
        Assert.All(runs, run => Assert.Equal(Gains(runs[0]), Gains(run)));
        Assert.All(runs, run => Assert.Equal(runs[0].Coordinator.Sentence, run.Coordinator.Sentence));

        // The steps are worth 12 epochs, and one less is not.
        var worth = runs[0].Metrics.Select(m => m.GetProperty("gain").GetDouble() / 4 * m.GetProperty("globalBatch").GetInt64()).ToList();
        Assert.InRange(worth.Sum(), 12 * 203, double.PositiveInfinity);
        Assert.InRange(worth.SkipLast(1).Sum(), 0, 12 * 203);
        Assert.Equal([1.0, 1.0], runs[0].Metrics.Take(2).Select(m => m.GetProperty("gain").GetDouble()));
        Assert.All(runs[0].Metrics, m => Assert.InRange(m.GetProperty("gain").GetDouble(), 1, 4));
        Assert.Contains(runs[0].Metrics, m => m.GetProperty("gain").GetDouble() is > 1.2 and < 3.9);
        Assert.Matches("^Completed [0-9]+ steps, and ended early: these steps are worth 2,436 samples in batches of 10, as many as stop asks for\\.$", runs[0].Summary.GetProperty("reason").GetString());
        Assert.Equal(runs[0].Metrics.Count, runs[0].Lines("evaluations.jsonl")[^1].GetProperty("step").GetInt32());
    }

    [Fact]
    public async Task At_the_reference_the_bits_are_those_of_the_plain_run()
    {
        string[] settings = [.. Run, "stop.epochs=4", "workers=2"];
        var scaled = await LocalCluster.RunAsync(_folder.At("scaled"), LocalCluster.Options([.. settings, "schedule.referenceBatch=40"]));
        var plain = await LocalCluster.RunAsync(_folder.At("plain"), LocalCluster.Options([.. settings, "schedule.scaling=none", "schedule.referenceBatch=0"]));
        Assert.Equal(plain.Hashes, scaled.Hashes);
        Assert.Equal("Completed 24 steps.", scaled.Coordinator.Sentence);
        Assert.All(plain.Metrics, m => Assert.False(m.TryGetProperty("gain", out _)));
    }

    [Fact]
    public async Task Workers_go_on_from_what_they_hold_when_the_coordinator_is_killed()
    {
        await using var relay = new Relay(Nowhere);
        List<Task<RunOutcome>> workers = [];
        foreach (var step in (int[])[13, 40])
        {
            await using var coordinator = await StartAsync(workers: 3);
            relay.Turn(coordinator.Address);
            if (workers.Count == 0)
            {
                workers = [.. Enumerable.Range(0, 3).Select(n => WorkerHost.RunAsync(
                    coordinator.Worker(n) with { Coordinator = relay.Address, Patience = Soon }, TimeProvider.System, TestContext.Current.CancellationToken))];
            }

            // The workers are left alone with what they have not been able to report.
            await coordinator.StepAsync(step);
            relay.Turn(Nowhere);
            coordinator.Stop();
            await coordinator.Outcome.WaitAsync(Soon, TestContext.Current.CancellationToken);
        }

        await using var last = await StartAsync(workers: 3);
        relay.Turn(last.Address);
        var run = await last.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);
        await SameAsUndisturbedAsync(run);
        Assert.Equal(["restarted", "resumed", "restarted", "resumed"], run.Events.Where(e => e is "restarted" or "resumed" or "rollback"));
    }

    [Theory]
    [InlineData(1, 3)]
    [InlineData(3, 1)]
    public async Task A_run_that_was_stopped_is_resumed_on_any_number_of_workers(int before, int after)
    {
        await using (var first = await StartAsync(before))
        {
            var workers = Enumerable.Range(0, before).Select(n => first.StartWorker(first.Worker(n))).ToList();
            await first.StepAsync(31);
            first.Stop();
            Assert.Equal(RunStatus.Stopped, (await first.Outcome.WaitAsync(Soon, TestContext.Current.CancellationToken)).Status);
            await Task.WhenAll(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);
        }

        await using var second = await StartAsync(after);
        await SameAsUndisturbedAsync(await EndAsync(second, after));
    }

    [Fact]
    public async Task Where_no_state_is_left_the_steps_behind_the_checkpoint_are_computed_again_at_the_same_rates()
    {
        await using (var first = await StartAsync(workers: 1))
        {
            await first.LoseStateAsync(25);
        }

        await using var second = await StartAsync(workers: 1);
        var run = await EndAsync(second, 1);
        await SameAsUndisturbedAsync(run);
        Assert.Contains("rollback", run.Events);
        Assert.DoesNotContain("recomputed-differs", run.Events);
    }

    [Fact]
    public async Task A_run_that_has_ended_trains_no_more_where_it_is_told_anew_when_to_end_and_that_is_no_later()
    {
        await using (var first = await StartAsync(workers: 1))
        {
            await EndAsync(first, 1);
        }

        await using var second = await StartAsync(workers: 2, "stop.patience=1000");
        await SameAsUndisturbedAsync(await EndAsync(second, 2));
    }

    [Fact]
    public async Task A_run_that_would_have_ended_earlier_is_refused()
    {
        await using (var first = await StartAsync(workers: 1, "schedule.name=constant"))
        {
            await EndAsync(first, 1);
        }

        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(workers: 1, "schedule.name=constant", "stop.epochs=6"));
        Assert.Matches("has done [0-9]+ steps, and would be over after [0-9]+ by its stop\\.\\*: give it more, or leave it as it is\\.$", refused.Message);
    }

    private static List<string> Gains(ClusterRun run) => [.. run.Metrics.Select(m => $"{m.GetProperty("gain")} {m.GetProperty("lr")}")];

    private Task<LocalCoordinator> StartAsync(int workers, params string[] more) =>
        LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options([.. Slow, $"workers={workers}", .. more]), s => s with { Resume = true });

    private static async Task<ClusterRun> EndAsync(LocalCoordinator coordinator, int workers)
    {
        var all = Enumerable.Range(0, workers).Select(n => coordinator.StartWorker(coordinator.Worker(n))).ToList();
        return await coordinator.EndAsync(all).WaitAsync(Soon, TestContext.Current.CancellationToken);
    }

    private async Task SameAsUndisturbedAsync(ClusterRun run)
    {
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        var undisturbed = await LocalCluster.RunAsync(_folder.At("undisturbed"), LocalCluster.Options([.. Run, "workers=1"]));
        Assert.Equal(undisturbed.Hashes, run.Hashes);
        Assert.Equal(Gains(undisturbed), Gains(run));
        Assert.Equal(undisturbed.Coordinator.Sentence, run.Coordinator.Sentence);
        Assert.Equal(Enumerable.Range(1, run.Metrics.Count), run.Metrics.Select(m => m.GetProperty("step").GetInt32()));
    }
}
