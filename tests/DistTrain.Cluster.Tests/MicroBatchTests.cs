using DistTrain.TestKit;
using DistTrain.Training.Devices;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using static TorchSharp.torch;

namespace DistTrain.Cluster.Tests;

/// <summary>Workers that find the size of micro-batches: the smallest decides, and the run has the bits of one that was told so from the start.</summary>
public sealed class MicroBatchTests : IDisposable
{
    private static readonly string[] Run = ["batch.global=50", "stop.epochs=0", "stop.steps=12", "evaluate.everySteps=5", "checkpoint.everySteps=4"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1, 0)]
    [InlineData(3, 1)]
    public async Task The_smallest_that_a_worker_has_memory_for_is_that_of_all_and_the_bits_are_those_of_a_run_that_was_told_so(int workers, int shortWorker)
    {
        var run = await LocalCluster.RunAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, $"workers={workers}", "batch.micro=auto"]),
            worker => worker.Number == shortWorker ? worker with { Tasks = WithRoomFor(most: 2) } : worker);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.All(run.Workers, w => Assert.True(w.Success, w.Sentence));

        var chosen = run.Summary.GetProperty("microBatch").GetInt32();
        Assert.InRange(chosen, 1, 2);
        Assert.All(run.Metrics, m => Assert.Equal(chosen, m.GetProperty("microBatch").GetInt32()));
        var told = Assert.Single(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "micro-batch").GetProperty("sentence").GetString()!;
        Assert.Contains($"Worker {shortWorker} on ", told, StringComparison.Ordinal);
        Assert.DoesNotContain(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "out-of-memory");
        Assert.Equal(12, run.Metrics.Count);

        var fixedRun = await LocalCluster.RunAsync(_folder.At("told"), LocalCluster.Options([.. Run, "workers=2", $"batch.micro={chosen}"]));
        Assert.Equal(fixedRun.Hashes, run.Hashes);
        Assert.NotEqual((await LocalCluster.RunAsync(_folder.At("other"), LocalCluster.Options([.. Run, "workers=1", $"batch.micro={chosen + 5}"]))).Hashes, run.Hashes);
    }

    [Fact]
    public async Task A_resumed_run_measures_nothing_anew()
    {
        var options = LocalCluster.Options([.. Run, "workers=1", "batch.micro=auto"]);
        int chosen;
        await using (var first = await LocalCoordinator.StartAsync(_folder.At("run"), options with { Debug = options.Debug with { DelayPerMicroBatch = new Dictionary<string, TimeSpan> { ["0"] = TimeSpan.FromMilliseconds(2) } } }))
        {
            var worker = first.StartWorker(first.Worker(0) with { Tasks = WithRoomFor(most: 2) });
            await first.StepAsync(3);
            first.Stop();
            var stopped = await first.EndAsync([worker]);
            Assert.Equal(Core.RunStatus.Stopped, stopped.Coordinator.Status);
            chosen = stopped.Metrics[0].GetProperty("microBatch").GetInt32();
            Assert.InRange(chosen, 1, 2);
        }

        // This one has room for more, and is not asked what it would like.
        await using var second = await LocalCoordinator.StartAsync(_folder.At("run"), options, settings => settings with { Resume = true });
        var run = await second.EndAsync([second.StartWorker(second.Worker(0))]);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Equal(Enumerable.Repeat(chosen, 12), run.Metrics.Select(m => m.GetProperty("microBatch").GetInt32()));
        Assert.Single(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "micro-batch");
        Assert.Equal((await LocalCluster.RunAsync(_folder.At("told"), LocalCluster.Options([.. Run, "workers=2", $"batch.micro={chosen}"]))).Hashes, run.Hashes);
    }

    [Fact]
    public async Task A_joiner_without_room_for_them_is_refused_and_told_why()
    {
        var options = LocalCluster.Options([.. Run, "workers=1", "batch.micro=auto", "stop.steps=60", "debug.delayPerMicroBatch.0=5ms"]);
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), options);
        var first = coordinator.StartWorker(coordinator.Worker(0) with { Tasks = WithRoomFor(most: 2) });
        await coordinator.StepAsync(1);
        var small = await coordinator.StartWorker(coordinator.Worker(1) with { Tasks = WithRoomFor(most: 0) });
        Assert.True(small.IsRefusal, small.Sentence);
        Assert.Contains("not even one fits its memory", small.Sentence, StringComparison.Ordinal);
        var run = await coordinator.EndAsync([first]);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
    }

    [Fact]
    public void A_joiner_measures_up_to_the_size_in_force_however_long_that_takes()
    {
        var options = LocalCluster.Options([.. Run, "workers=1", "batch.micro=auto"]);
        using var task = PatternTask.Catalog.Create(options);
        using var replica = new Replica(task, options, ComputeDevice.Cpu);
        var finder = new MicroBatchFinder(replica, options, task.Training.Count, long.MaxValue, new HurriedClock(), () => { });
        Assert.InRange(finder.Find(0).Most, 1, 2);
        Assert.Equal(24, finder.Find(24).Most);
    }

    [Fact]
    public async Task Where_one_sample_needs_more_than_the_limit_the_run_ends_with_both()
    {
        var run = await LocalCluster.RunAsync(_folder.At("run"), LocalCluster.Options([.. Run, "workers=1", "batch.micro=auto", "memory.limit=10MB"]));
        Assert.False(run.Coordinator.Success);
        Assert.Contains("A micro-batch of one sample needs ", run.Coordinator.Sentence, StringComparison.Ordinal);
        Assert.Contains("9 MB may be used: the limit is 10 MB. Raise memory.limit, or train a smaller model.", run.Coordinator.Sentence, StringComparison.Ordinal);
    }

    /// <summary>The pattern, with a loss that asks torch for more memory than there is where a micro-batch holds more samples than fit. The five passes of the probe at the door hold two, of which it has to know.</summary>
    private static TaskCatalog WithRoomFor(int most)
    {
        var probes = 5;
        return FaultyTask.Catalog((loss, batch) =>
        {
            if (Interlocked.Decrement(ref probes) < 0 && batch.Targets.shape[0] > most && is_grad_enabled())
            {
                using var memory = zeros(1L << 48);
            }

            return loss;
        });
    }

    /// <summary>An hour passes between any two looks at it.</summary>
    private sealed class HurriedClock : TimeProvider
    {
        private long _hours;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => ++_hours * TimeSpan.TicksPerHour;
    }
}
