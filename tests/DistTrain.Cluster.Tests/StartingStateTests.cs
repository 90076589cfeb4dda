using DistTrain.Core.Options;
using DistTrain.TestKit;

namespace DistTrain.Cluster.Tests;

/// <summary>A run that begins with another's checkpoint has its state, on any number of workers, and takes none but the one that is meant.</summary>
public sealed class StartingStateTests : IDisposable
{
    private static readonly string[] Adam = ["optimizer.name=adam", "optimizer.learningRate=0.01", "stop.epochs=0", "stop.steps=6", "average.decay=0.5"];
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task It_begins_with_weights_optimizer_and_average_whatever_the_workers()
    {
        var (checkpoint, hash) = await FirstAsync();
        string[]? first = null;
        foreach (var workers in new[] { 1, 2, 3 })
        {
            var run = await RunAsync($"w{workers}", checkpoint, hash, "batch.global=20", $"workers={workers}", "checkpoint.keep=100", "checkpoint.everySteps=1");
            Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
            first ??= [.. run.Hashes];
            Assert.Equal(first, run.Hashes);
            var zero = Path.Combine(_folder.At($"w{workers}"), "checkpoints", "step-00000000");
            Assert.All(new[] { "model.safetensors", "optimizer.safetensors" }, file => Assert.Equal(File.ReadAllBytes(Path.Combine(checkpoint, file)), File.ReadAllBytes(Path.Combine(zero, file))));
            Assert.Equal(Scalars(checkpoint), Scalars(zero));
        }

        // With another rule it begins with the weights alone.
        var other = await RunAsync("sgd", checkpoint, hash, "optimizer.name=sgd", "checkpoint.keep=100", "checkpoint.everySteps=1");
        Assert.True(other.Coordinator.Success, other.Coordinator.Sentence);
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(checkpoint, "model.safetensors")), File.ReadAllBytes(Path.Combine(_folder.At("sgd"), "checkpoints", "step-00000000", "model.safetensors")));
    }

    [Fact]
    public async Task A_checkpoint_of_other_weights_is_refused_in_a_sentence()
    {
        var (checkpoint, hash) = await FirstAsync();
        var wrong = new string('0', hash.Length);
        var run = await RunAsync("wrong", checkpoint, wrong);
        Assert.False(run.Coordinator.Success);
        Assert.Contains(run.Workers, w => w.Sentence == $"{checkpoint} has weights {hash}, and start.weightsHash is {wrong}: give the checkpoint that the run is meant to begin with.");
    }

    private async Task<(string Checkpoint, string Hash)> FirstAsync()
    {
        var run = await LocalCluster.RunAsync(_folder.At("first"), LocalCluster.Options([.. Adam, "workers=2"]));
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        return (Path.Combine(_folder.At("first"), "checkpoints", "step-00000006"), run.Hashes[^1]);
    }

    private Task<ClusterRun> RunAsync(string name, string checkpoint, string hash, params string[] settings) =>
        LocalCluster.RunAsync(_folder.At(name), LocalCluster.Options([.. Adam, "workers=1", .. settings]) with { Start = new StartOptions { Checkpoint = checkpoint, WeightsHash = hash } });

    private static string Scalars(string checkpoint)
    {
        using var manifest = System.Text.Json.JsonDocument.Parse(File.ReadAllBytes(Path.Combine(checkpoint, "manifest.json")));
        return manifest.RootElement.GetProperty("scalars").ToString();
    }
}
