using System.Text.RegularExpressions;
using DistTrain.TestKit;
using DistTrain.Training.Tasks;
using static TorchSharp.torch;

namespace DistTrain.Cluster.Tests;

/// <summary>Workers whose memory a micro-batch does not fit: all halve them, once, and the run has the bits of one that was told so from the start.</summary>
public sealed class MemoryShortageTests : IDisposable
{
    private static readonly string[] Run = ["batch.global=50", "batch.micro=4", "stop.epochs=0", "stop.steps=40", "evaluate.everySteps=10", "checkpoint.everySteps=10"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1, 0)]
    [InlineData(3, 1)]
    public async Task A_run_goes_on_with_halves_from_the_same_step(int workers, int shortWorker)
    {
        var run = await LocalCluster.RunAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, $"workers={workers}"]),
            worker => worker.Number == shortWorker ? worker with { Tasks = ShortOfMemory(most: 2, from: 60) } : worker);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.All(run.Workers, w => Assert.True(w.Success, w.Sentence));

        var told = Assert.Single(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "out-of-memory").GetProperty("sentence").GetString()!;
        Assert.Contains("ran out of memory: ", told, StringComparison.Ordinal);
        var steps = run.Metrics.Select(m => (Step: m.GetProperty("step").GetInt64(), Micro: m.GetProperty("microBatch").GetInt32())).ToList();
        var changed = steps.First(s => s.Micro == 2).Step;
        Assert.InRange(changed, 3, 40);
        Assert.Equal(Enumerable.Range(1, 40).Select(step => ((long)step, step < changed ? 4 : 2)), steps);
        Assert.Contains($"From step {changed} on a micro-batch holds at most 2 samples", told, StringComparison.Ordinal);

        var scheduled = await LocalCluster.RunAsync(_folder.At("told"), LocalCluster.Options([.. Run, "workers=2", $"batch.microFrom.{changed}=2"]));
        Assert.Equal(scheduled.Hashes, run.Hashes);
        Assert.NotEqual((await LocalCluster.RunAsync(_folder.At("whole"), LocalCluster.Options([.. Run, "workers=1"]))).Hashes, run.Hashes);
    }

    [Fact]
    public async Task What_is_too_large_from_the_start_is_halved_in_the_first_step()
    {
        var run = await LocalCluster.RunAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "batch.micro=32", "workers=2"]), tasks: ShortOfMemory(most: 8, from: 1));
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Equal(2, run.Lines("events.jsonl").Count(e => e.GetProperty("event").GetString() == "out-of-memory"));
        Assert.Equal(Enumerable.Repeat(8, 40), run.Metrics.Select(m => m.GetProperty("microBatch").GetInt32()));
        Assert.Equal((await LocalCluster.RunAsync(_folder.At("told"), LocalCluster.Options([.. Run, "batch.micro=8", "workers=1"]))).Hashes, run.Hashes);
    }

    [Fact]
    public async Task What_the_last_of_two_halvings_tells_gives_the_same_bits()
    {
        var run = await LocalCluster.RunAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "batch.microFrom.35=3", "workers=1"]), tasks: ShortOfMemory((60, 2), (300, 1)));
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        var keys = KeysOf(run);
        Assert.Equal(2, keys.Count);
        Assert.DoesNotContain("batch.microFrom.35=3", keys);
        Assert.Equal(
            keys, run.Summary.GetProperty("microBatches").EnumerateArray().Select(c => $"batch.microFrom.{c.GetProperty("step").GetInt64()}={c.GetProperty("micro").GetInt32()}"));
        Assert.Equal((await LocalCluster.RunAsync(_folder.At("told"), LocalCluster.Options([.. Run, "workers=2", .. keys]))).Hashes, run.Hashes);
    }

    [Fact]
    public async Task An_evaluation_that_does_not_fit_halves_the_steps_after_it()
    {
        var tasks = new TaskCatalog().Add<PatternModel, PatternData>("pattern", context => new FaultyTask(new PatternTask(context), (loss, _) => loss)
        {
            BeforeEvaluate = batch => Fill(batch, most: 2),
        });
        var run = await LocalCluster.RunAsync(_folder.At("run"), LocalCluster.Options([.. Run, "evaluate.everyEpochs=0", "workers=1"]), tasks: tasks);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Equal(["batch.microFrom.11=2"], KeysOf(run));
        var told = Assert.Single(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "out-of-memory").GetProperty("sentence").GetString();
        Assert.Contains("From the evaluation after step 10 on a micro-batch holds at most 2 samples", told);
        Assert.Equal((await LocalCluster.RunAsync(_folder.At("told"), LocalCluster.Options([.. Run, "evaluate.everyEpochs=0", "workers=2", .. KeysOf(run)]))).Hashes, run.Hashes);
    }

    [Fact]
    public async Task A_process_that_the_system_killed_for_memory_is_told_of_by_the_next_one()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "workers=1", "debug.delayPerMicroBatch.0=2ms"]));
        var first = coordinator.StartWorker(coordinator.Worker(0));
        await coordinator.StepAsync(5);
        var run = await coordinator.EndAsync([first, coordinator.StartWorker(coordinator.Worker(1) with { WasKilledForMemory = true })]);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);

        Assert.Single(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "out-of-memory");
        var changed = run.Metrics.First(m => m.GetProperty("microBatch").GetInt32() == 2).GetProperty("step").GetInt64();
        var scheduled = await LocalCluster.RunAsync(_folder.At("told"), LocalCluster.Options([.. Run, "workers=2", $"batch.microFrom.{changed}=2"]));
        Assert.Equal(scheduled.Hashes, run.Hashes);
    }

    [Fact]
    public async Task A_worker_that_has_no_room_for_one_sample_ends_and_says_so()
    {
        var run = await LocalCluster.RunAsync(_folder.At("run"), LocalCluster.Options([.. Run, "workers=1"]), tasks: ShortOfMemory(most: 0, from: 60));
        Assert.False(run.Coordinator.Success);
        Assert.Contains("a micro-batch of one sample does not fit its memory", run.Coordinator.Sentence, StringComparison.Ordinal);
        Assert.Equal(2, run.Lines("events.jsonl").Count(e => e.GetProperty("event").GetString() == "out-of-memory"));
    }

    [Fact]
    public async Task A_worker_that_has_no_room_for_the_state_ends_and_says_so()
    {
        var tasks = new TaskCatalog().Add<PatternModel, PatternData>("pattern", context => new FaultyTask(new PatternTask(context), (loss, _) => loss)
        {
            BeforeBuild = () => throw new InsufficientMemoryException("The system has no 8 bytes for a vector."),
        });
        var run = await LocalCluster.RunAsync(_folder.At("run"), LocalCluster.Options([.. Run, "workers=1"]), tasks: tasks);
        Assert.Equal((false, "Worker 0 cannot go on: The system has no 8 bytes for a vector."), (run.Coordinator.Success, run.Coordinator.Sentence));
    }

    /// <summary>The pattern, with a loss that asks torch for more memory than there is, from one micro-batch on, where that holds more samples than fit.</summary>
    private static TaskCatalog ShortOfMemory(int most, int from) => ShortOfMemory((from, most));

    private static TaskCatalog ShortOfMemory(params (int From, int Most)[] limits)
    {
        var losses = 0;
        return FaultyTask.Catalog((loss, batch) =>
        {
            var count = Interlocked.Increment(ref losses);
            foreach (var (_, most) in limits.Where(l => count >= l.From))
            {
                Fill(batch, most);
            }

            return loss;
        });
    }

    private static void Fill(TensorBatch batch, int most)
    {
        if (batch.Targets.shape[0] > most)
        {
            using var memory = zeros(1L << 48);
        }
    }

    /// <summary>The keys that the last change of micro-batches names.</summary>
    private static List<string> KeysOf(ClusterRun run) =>
    [
        .. Regex.Matches(run.Lines("events.jsonl").Last(e => e.GetProperty("event").GetString() == "out-of-memory").GetProperty("sentence").GetString()!, @"batch\.microFrom\.\d+=\d+")
            .Select(m => m.Value),
    ];
}
