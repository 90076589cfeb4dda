using System.Text.Json;
using DistTrain.Coordinator;
using DistTrain.Core;
using DistTrain.TestKit;
using DistTrain.Worker;

namespace DistTrain.Cluster.Tests;

/// <summary>Coordinators that go and come again on one run's folder: every step is there once, with the hash of an undisturbed run.</summary>
public sealed class RestartTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(90);
    private static readonly Uri Nowhere = new("http://127.0.0.1:9");

    private static readonly string[] Run =
    [
        "batch.global=50", "batch.micro=2", "stop.epochs=0", "stop.steps=60", "evaluate.everySteps=20", "checkpoint.everySteps=10",
        "failureDetection=5s", "debug.delayPerMicroBatch.0=2ms",
    ];

    private readonly TemporaryFolder _folder = new();
    private string[] _changed = [];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Workers_go_on_from_what_they_hold_when_the_coordinator_starts_again()
    {
        await using var relay = new Relay(Nowhere);
        List<Task<RunOutcome>> workers = [];
        foreach (var step in (int[])[13, 33])
        {
            await using var coordinator = await StartAsync(workers: 3);
            relay.Turn(coordinator.Address);
            if (workers.Count == 0)
            {
                workers = [.. Enumerable.Range(0, 3).Select(n => StartWorker(coordinator, n, relay))];
            }

            await coordinator.StepAsync(step);
            relay.Turn(Nowhere);
            coordinator.Stop();
            await coordinator.Outcome.WaitAsync(Soon, TestContext.Current.CancellationToken);
        }

        await using var last = await StartAsync(workers: 3);
        relay.Turn(last.Address);
        var run = await last.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.All(run.Workers, w => Assert.True(w.Success, w.Sentence));
        Assert.Equal(["restarted", "resumed", "restarted", "resumed"], run.Events.Where(e => e is "restarted" or "resumed" or "rollback"));
        Assert.Equal((3, 3), (Final(run), run.Metrics[^1].GetProperty("worldSize").GetInt32()));

        // The relay resets one connection after another, and two workers may do a step without the third before theirs are gone, too.
        var kinds = run.Summary.GetProperty("recoveries").EnumerateArray().Select(r => r.GetProperty("kind").GetString()!);
        Assert.Equal(["coordinator", "coordinator"], kinds.Where(k => k != "connection"));
    }

    [Fact]
    public async Task A_coordinator_that_lost_everyones_connection_takes_them_back_with_their_state()
    {
        await using var coordinator = await StartAsync(workers: 2);
        await using var relay = new Relay(coordinator.Address);
        var workers = Enumerable.Range(0, 2).Select(n => StartWorker(coordinator, n, relay)).ToList();
        await coordinator.StepAsync(13);
        relay.Reset();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.Contains("resumed", run.Events);
        Assert.DoesNotContain("rollback", run.Events);
    }

    [Theory]
    [InlineData(1, 3)]
    [InlineData(2, 1)]
    [InlineData(1, 2, "batch.noiseScale=true", "optimizer.name=lamb", "optimizer.learningRate=0.01")]
    [InlineData(2, 1, "batch.noiseScale=true", "optimizer.name=lars", "optimizer.learningRate=1")]
    public async Task A_run_that_was_stopped_is_resumed_on_any_number_of_workers_with_the_same_bits(int before, int after, params string[] changed)
    {
        _changed = changed;
        await StopAtAsync(step: 13, before);
        await using var second = await StartAsync(after);
        var workers = Enumerable.Range(0, after).Select(n => second.StartWorker(second.Worker(n))).ToList();
        var run = await second.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.Contains("The run goes on from checkpoint ", string.Join(' ', run.Lines("events.jsonl").Select(e => e.GetProperty("sentence"))));
        Assert.Matches("^The run goes on from checkpoint [0-9]+\\.$", run.Lines("events.jsonl").Single(e => e.GetProperty("event").GetString() == "rollback").GetProperty("sentence").GetString());
    }

    [Fact]
    public async Task Where_no_state_is_left_the_steps_behind_the_checkpoint_are_computed_again_and_keep_their_lines()
    {
        await using (var first = await StartAsync(workers: 1))
        {
            await first.LoseStateAsync(17);
        }

        await using var second = await StartAsync(workers: 1);
        var run = await second.EndAsync([second.StartWorker(second.Worker(0))]).WaitAsync(Soon, TestContext.Current.CancellationToken);
        await SameAsUndisturbedAsync(run);
        Assert.Contains("rollback", run.Events);
        Assert.DoesNotContain("recomputed-differs", run.Events);
    }

    [Fact]
    public async Task A_second_coordinator_on_one_journal_is_refused()
    {
        await using var first = await StartAsync(workers: 1);
        var second = await StartedAsync(s => s);
        Assert.StartsWith($"Another coordinator owns the run in {_folder.At("run")}: end it first", second.Sentence, StringComparison.Ordinal);
        first.Stop();
        await first.Outcome;
        Assert.StartsWith($"{_folder.At("run")} holds a run already: --resume goes on with it", (await StartedAsync(s => s with { Resume = false })).Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_torn_journal_is_cut_and_a_damaged_one_refused()
    {
        await StopAtAsync(step: 3, workers: 1);
        var path = Path.Combine(_folder.At("run"), "journal", "journal.jsonl");
        await File.AppendAllTextAsync(path, "0123456789abcdef {\"kind\":\"roll", TestContext.Current.CancellationToken);
        await using (var torn = await StartAsync(workers: 1))
        {
            torn.Stop();
        }

        var lines = await File.ReadAllLinesAsync(path, TestContext.Current.CancellationToken);
        Assert.DoesNotContain(lines, l => l.EndsWith("roll", StringComparison.Ordinal));
        lines[1] = lines[1].Replace("\"term\"", "\"Term\"", StringComparison.Ordinal);
        await File.WriteAllLinesAsync(path, lines, TestContext.Current.CancellationToken);
        Assert.StartsWith($"The journal {path} is damaged at line 2", (await StartedAsync(s => s)).Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Of_a_damaged_checkpoint_the_newest_good_one_is_offered()
    {
        await StopAtAsync(step: 33, workers: 1);
        var checkpoints = Directory.GetDirectories(Path.Combine(_folder.At("run"), "checkpoints")).Order().ToList();
        var damaged = Path.Combine(checkpoints[^1], "model.safetensors");
        var bytes = await File.ReadAllBytesAsync(damaged, TestContext.Current.CancellationToken);
        bytes[^3] ^= 1;
        await File.WriteAllBytesAsync(damaged, bytes, TestContext.Current.CancellationToken);

        var refused = await StartedAsync(s => s);
        Assert.Contains(checkpoints[^1], refused.Sentence, StringComparison.Ordinal);
        Assert.EndsWith("To go on from an older one: the newest good one is --checkpoint 30.", refused.Sentence, StringComparison.Ordinal);
        Assert.Contains("There is no good checkpoint of step 31", (await StartedAsync(s => s with { Checkpoint = 31 })).Sentence, StringComparison.Ordinal);

        await using var second = await StartAsync(workers: 1, change: s => s with { Checkpoint = 30 });
        await SameAsUndisturbedAsync(await second.EndAsync([second.StartWorker(second.Worker(0))]).WaitAsync(Soon, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task What_decides_the_bits_stays_as_it_was_and_the_length_may_grow()
    {
        await StopAtAsync(step: 3, workers: 1);
        var past = await StartedAsync(s => s with { Options = LocalCluster.Options([.. Run, "stop.steps=2", "workers=1"]) });
        Assert.Matches("has done [0-9]+ steps, and would be over after 2 by its stop", past.Sentence);
        var other = await StartedAsync(s => s with { Options = LocalCluster.Options([.. Run, "batch.micro=3", "seed=2", "workers=1"]) });
        Assert.Contains("batch.micro is '3': was 2 when the run began", other.Sentence, StringComparison.Ordinal);
        Assert.Contains("seed is '2': was 1 when the run began", other.Sentence, StringComparison.Ordinal);

        var shorter = LocalCluster.Options([.. Run, "stop.steps=20", "workers=2", "checkpoint.everySteps=7"]);
        await using (var second = await StartAsync(workers: 2, options: shorter))
        {
            var workers = Enumerable.Range(0, 2).Select(n => second.StartWorker(second.Worker(n))).ToList();
            Assert.Equal("Completed 20 steps.", (await second.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken)).Coordinator.Sentence);
        }

        for (var again = 0; again < 2; again++)
        {
            Assert.Equal(new RunOutcome(true, "Completed 20 steps. Nothing is left to do."), await StartedAsync(s => s with { Options = shorter }));
        }

        await using var third = await StartAsync(workers: 1);
        await SameAsUndisturbedAsync(await third.EndAsync([third.StartWorker(third.Worker(0))]).WaitAsync(Soon, TestContext.Current.CancellationToken));
    }

    /// <summary>A worker that does not end with its coordinator.</summary>
    [Fact]
    public async Task A_checkpoint_with_other_weights_than_the_line_of_its_step_is_not_gone_on_from()
    {
        await StopAtAsync(step: 25, workers: 1);
        var metrics = Path.Combine(_folder.At("run"), "metrics.jsonl");
        var lines = await File.ReadAllLinesAsync(metrics, TestContext.Current.CancellationToken);
        var (step, hash) = (JsonDocument.Parse(lines[^1]).RootElement.GetProperty("step").GetInt64(), JsonDocument.Parse(lines[^1]).RootElement.GetProperty("weightsHash").GetString()!);
        Assert.True(Directory.Exists(Path.Combine(_folder.At("run"), "checkpoints", $"step-{step:00000000}")));
        lines[^1] = lines[^1].Replace(hash, new string('0', hash.Length), StringComparison.Ordinal);
        await File.WriteAllLinesAsync(metrics, lines, TestContext.Current.CancellationToken);

        await using var coordinator = await StartAsync(workers: 1);
        var run = await coordinator.EndAsync([coordinator.StartWorker(coordinator.Worker(0))]).WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Contains(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "rollback"
            && e.GetProperty("sentence").GetString()!.Contains($"from checkpoint {(step - 1) / 10 * 10}", StringComparison.Ordinal));
        Assert.Contains("recomputed-differs", run.Events);
    }

    private static Task<RunOutcome> StartWorker(LocalCoordinator coordinator, int number, Relay relay) =>
        WorkerHost.RunAsync(
            coordinator.Worker(number) with { Coordinator = relay.Address, Patience = Soon }, TimeProvider.System, TestContext.Current.CancellationToken);

    private static int Final(ClusterRun run) => run.Summary.GetProperty("workers").GetProperty("final").GetInt32();

    private async Task StopAtAsync(int step, int workers)
    {
        await using var first = await StartAsync(workers);
        var all = Enumerable.Range(0, workers).Select(n => first.StartWorker(first.Worker(n), TestContext.Current.CancellationToken)).ToList();
        await first.StepAsync(step);
        first.Stop();
        var outcome = await first.Outcome.WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.Equal(RunStatus.Stopped, outcome.Status);
        await Task.WhenAll(all).WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.Equal("stopped", JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(_folder.At("run"), "summary.json"))).RootElement.GetProperty("status").GetString());
    }

    private Task<LocalCoordinator> StartAsync(
        int workers, Core.Options.RunOptions? options = null, Func<CoordinatorSettings, CoordinatorSettings>? change = null) =>
        LocalCoordinator.StartAsync(
            _folder.At("run"), options ?? LocalCluster.Options([.. Run, .. _changed, $"workers={workers}"]), s => change?.Invoke(s with { Resume = true }) ?? s with { Resume = true });

    /// <summary>A coordinator that does not get as far as to train.</summary>
    private Task<RunOutcome> StartedAsync(Func<CoordinatorSettings, CoordinatorSettings> change) => CoordinatorHost.RunAsync(
        change(new CoordinatorSettings
        {
            Options = LocalCluster.Options([.. Run, "workers=1"]),
            Folder = _folder.At("run"),
            Listen = "127.0.0.1:0",
            Resume = true,
            Log = new LogBook(),
        }),
        TimeProvider.System, TestContext.Current.CancellationToken);

    private async Task SameAsUndisturbedAsync(ClusterRun run)
    {
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        var undisturbed = await LocalCluster.RunAsync(_folder.At("undisturbed"), LocalCluster.Options([.. Run, .. _changed, "workers=1"]));
        Assert.Equal(undisturbed.Hashes, run.Hashes);
        Assert.Equal(60, run.Hashes.Count);
        Assert.Equal(undisturbed.Summary.GetProperty("weightsSha256").GetString(), run.Summary.GetProperty("weightsSha256").GetString());
        Assert.Equal(Evaluations(undisturbed), Evaluations(run));
        Assert.Equal(Noise(undisturbed), Noise(run));
    }

    private static List<string> Noise(ClusterRun run) =>
        [.. run.Metrics.Where(line => line.TryGetProperty("noise", out _)).Select(line => $"{line.GetProperty("step")} {line.GetProperty("noise")}")];

    private static List<string> Evaluations(ClusterRun run) =>
        [.. run.Lines("evaluations.jsonl").Select(e => $"{e.GetProperty("step")} {e.GetProperty("loss")} {e.GetProperty("weightsHash")}")];
}
