using System.Text.Json;
using DistTrain.TestKit;

namespace DistTrain.Cluster.Tests;

/// <summary>
/// Promise P2 over real sockets: weights after every step, evaluations and the final checkpoint have the same bits on any number of workers. The last
/// test is the control: with the workers' sums added as they come, the same comparison fails.
/// </summary>
public sealed class SameBits
{
    private static readonly int[] WorldSizes = [1, 2, 3, 5, 8];

    [Theory]
    [InlineData("nothing divides", "batch.global=50", "batch.micro=4", "stop.epochs=2")]
    [InlineData("fewer blocks than workers", "batch.global=8", "batch.micro=4", "stop.steps=6")]
    [InlineData("one block", "batch.global=50", "batch.micro=8", "batch.blocks=1", "stop.steps=4")]
    [InlineData("fewer blocks than micro-batches", "batch.global=67", "batch.micro=3", "batch.blocks=7", "stop.epochs=1")]
    [InlineData("a micro-batch above the global batch", "batch.global=30", "batch.micro=64", "stop.steps=5")]
    [InlineData("momentum, decay and clipping", "batch.global=50", "batch.micro=7", "stop.epochs=1", "optimizer.momentum=0.8",
        "optimizer.nesterov=true", "optimizer.weightDecay=0.01", "clip.globalNorm=0.5")]
    [InlineData("a schedule", "batch.global=50", "batch.micro=6", "stop.epochs=2", "schedule.name=cosine", "schedule.warmupSteps=3")]
    [InlineData("unequal speed", "batch.global=50", "batch.micro=4", "stop.steps=4", "debug.delayPerMicroBatch.1=5ms")]
    [InlineData("evaluations within the epoch", "batch.global=40", "batch.micro=5", "stop.epochs=1", "evaluate.everySteps=2")]
    public async Task Any_number_of_workers_gives_the_same_bits(string situation, params string[] settings)
    {
        var runs = await RunAllAsync(WorldSizes, settings);
        Assert.All(runs, run => Assert.True(run.Success, $"{situation}: {run.Sentence}"));
        Assert.All(runs, run => Assert.Equal(runs[0].Hashes, run.Hashes));
        Assert.All(runs, run => Assert.Equal(runs[0].Sha256, run.Sha256));
        Assert.All(runs, run => Assert.Equal(runs[0].Evaluations, run.Evaluations));
        Assert.Equal(runs[0].Hashes.Count, runs[0].Hashes.Distinct().Count());
        Assert.NotEmpty(runs[0].Evaluations);
    }

    [Fact]
    public async Task A_global_batch_above_the_data_is_one_step_an_epoch_and_is_announced()
    {
        var runs = await RunAllAsync(WorldSizes, "batch.global=1000", "batch.micro=16", "stop.epochs=3");
        Assert.All(runs, run => Assert.Equal(runs[0].Hashes, run.Hashes));
        Assert.Equal(3, runs[0].Hashes.Count);
        Assert.All(runs, run => Assert.Contains(
            run.Events, e => e.GetProperty("event").GetString() == "warning" && e.GetProperty("sentence").GetString()!.Contains("batch.global is 1,000")));
    }

    [Fact]
    public async Task Without_the_canonical_tree_every_number_of_workers_gives_other_bits()
    {
        var runs = await RunAllAsync([1, 2, 3], "batch.global=50", "batch.micro=4", "stop.steps=5", "debug.foldPerWorker=true");
        Assert.All(runs, run => Assert.True(run.Success, run.Sentence));
        Assert.NotEqual(runs[0].Hashes, runs[1].Hashes);
        Assert.NotEqual(runs[0].Hashes, runs[2].Hashes);
        Assert.NotEqual(runs[1].Hashes, runs[2].Hashes);
    }

    private static async Task<IReadOnlyList<Bits>> RunAllAsync(IEnumerable<int> worldSizes, params string[] settings)
    {
        using var folder = new TemporaryFolder();
        var bits = new List<Bits>();
        foreach (var workers in worldSizes)
        {
            var run = await LocalCluster.RunAsync(folder.At($"w{workers}"), LocalCluster.Options([.. settings, $"workers={workers}"]));
            bits.Add(new Bits(
                run.Coordinator.Success,
                run.Coordinator.Sentence,
                run.Hashes,
                run.Summary.GetProperty("weightsSha256").GetString(),
                [.. File.ReadLines(Path.Combine(run.Folder, "evaluations.jsonl"))],
                run.Lines("events.jsonl")));
        }

        return bits;
    }

    private sealed record Bits(
        bool Success, string Sentence, IReadOnlyList<string> Hashes, string? Sha256, IReadOnlyList<string> Evaluations, IReadOnlyList<JsonElement> Events);
}
