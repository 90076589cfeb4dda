using System.Text.Json;
using DistTrain.Cli.Tasks;
using DistTrain.TestKit;

namespace DistTrain.Cluster.Tests;

/// <summary>The noise scale of a run has the same bits on any number of workers, costs the weights none, and is in the lines, the summary and the view.</summary>
public sealed class NoiseScaleTests
{
    private static readonly string[] Fields = ["noiseScale", "noise", "preconditionedNoise"];

    [Theory]
    [InlineData("sgd", 0.05)]
    [InlineData("adamw", 0.003)]
    public async Task Any_number_of_workers_measures_the_same_bits(string rule, double rate)
    {
        using var folder = new TemporaryFolder();
        string[] settings =
        [
            "task=image-classification", "model.name=mlp", "model.hidden=32", "data.name=digits", "batch.global=96", "batch.micro=7", "stop.epochs=0", "stop.steps=40",
            $"optimizer.name={rule}", $"optimizer.learningRate={rate}", "evaluate.everyEpochs=0",
        ];
        var plain = await LocalCluster.RunAsync(folder.At("plain"), LocalCluster.Options([.. settings, "workers=2"]), tasks: BuiltInTasks.Catalog());
        Assert.All(plain.Metrics, line => Assert.All(Fields, field => Assert.False(line.TryGetProperty(field, out _))));
        Assert.False(plain.Summary.TryGetProperty("noiseScale", out _));

        string[]? first = null;
        foreach (var workers in new[] { 1, 2, 3, 5 })
        {
            var run = await LocalCluster.RunAsync(folder.At($"w{workers}"), LocalCluster.Options([.. settings, "batch.noiseScale=true", $"workers={workers}"]), tasks: BuiltInTasks.Catalog());
            Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
            Assert.Equal(plain.Hashes, run.Hashes);
            string[] noise = [.. run.Metrics.Select(Noise), run.Summary.GetProperty("noiseScale").ToString()];
            first ??= noise;
            Assert.Equal(first, noise);

            Assert.All(run.Metrics, line => Assert.True(line.GetProperty("noise").GetProperty("trace").GetDouble() > 0));
            Assert.All(run.Metrics, line => Assert.Equal(rule == "adamw", line.TryGetProperty("preconditionedNoise", out _)));
            Assert.Equal(Resolved(run.Metrics[^1]), run.Summary.GetProperty("noiseScale").GetProperty("value").GetDouble());
        }

        Assert.Contains("halving it would save", first![^1], StringComparison.Ordinal);
        Assert.Equal(40, first.Take(40).Distinct().Count());
    }

    [Fact]
    public async Task What_is_in_vain_is_said_as_the_run_begins_and_advice_goes_by_what_a_step_holds()
    {
        using var folder = new TemporaryFolder();
        string[] settings = ["workers=1", "batch.noiseScale=true", "batch.global=5000", "stop.epochs=21"];
        var run = await LocalCluster.RunAsync(folder.At("run"), LocalCluster.Options([.. settings, "batch.micro=4"]));
        var size = run.Metrics[0].GetProperty("globalBatch").GetInt64();
        Assert.Equal([$"batch.global is 5,000 and the data hold {size:N0} samples: every epoch is one step of {size:N0}."], Warnings(run));
        Assert.DoesNotContain("oubling", run.Summary.GetProperty("noiseScale").GetProperty("advice").GetString(), StringComparison.Ordinal);

        run = await LocalCluster.RunAsync(folder.At("one"), LocalCluster.Options([.. settings, "batch.micro=5000"]));
        Assert.EndsWith($"one block shows no noise; set batch.micro to {size / 2} or less.", Warnings(run)[1], StringComparison.Ordinal);
    }

    private static List<string> Warnings(ClusterRun run) =>
        [.. run.Lines("events.jsonl").Where(e => e.GetProperty("event").GetString() == "warning").Select(e => e.GetProperty("sentence").GetString()!)];

    private static double Resolved(JsonElement line)
    {
        var (scale, noise) = (line.GetProperty("noiseScale").GetDouble(), line.GetProperty("noise"));
        Assert.Equal(scale, noise.GetProperty("scale").GetDouble());
        Assert.InRange(scale, noise.GetProperty("low").GetDouble(), noise.GetProperty("high").GetDouble());
        return scale;
    }

    private static string Noise(JsonElement line) => string.Join(' ', Fields.Select(field => line.TryGetProperty(field, out var value) ? value.ToString() : "-"));
}
