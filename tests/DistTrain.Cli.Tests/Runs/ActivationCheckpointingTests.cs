using System.Text.Json.Nodes;

namespace DistTrain.Cli.Tests.Runs;

/// <summary>A real run of a deep model: with its activations in segments a worker's peak falls, and the weights stay.</summary>
public sealed class ActivationCheckpointingTests : IDisposable
{
    /// <summary>What 16 blocks keep for 2,048 tokens is some 200 MB; a worker without any model takes as much.</summary>
    private const long Saved = 100_000_000;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_peak_falls_and_the_weights_stay()
    {
        var (kept, keptWeights) = await TrainAsync("kept", 0);
        var (again, weights) = await TrainAsync("again", 8);

        Assert.Equal(keptWeights, weights);
        Assert.True(kept - again > Saved, $"The peak fell from {kept} to {again} bytes, by less than {Saved}.");
    }

    private async Task<(long Peak, string Weights)> TrainAsync(string name, int segments)
    {
        var ended = await Command.RunAsync(
            "train", "gpt-bytes", "--workers", "1", "--out", _folder[name], "--set", "model.window=128", "--set", "model.width=64", "--set", "model.layers=16", "--set", "model.dropout=0.1",
            "--set", "batch.micro=16", "--set", "stop.epochs=0", "--set", "stop.steps=1", "--set", $"activationCheckpointing={segments}");
        Assert.Equal((0, ""), (ended.Code, ended.Error));
        var summary = JsonNode.Parse(File.ReadAllText(_folder[$"{name}/summary.json"]))!;
        return ((long)summary["peakRssBytes"]!["worker"]!, (string)summary["weightsSha256"]!);
    }
}
