using System.Text.Json.Nodes;

namespace DistTrain.Cli.Tests.Runs;

/// <summary>Real processes measure, and nothing is left of them.</summary>
public sealed class MeasureRunTests : IDisposable
{
    private static readonly string[] Small = ["digits", "--set", "model.name=mlp", "--set", "batch.micro=16"];
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_measured_plan_predicts_time_and_memory_of_every_number_of_workers()
    {
        // What the run decides on the way is none of its steps.
        string[] schedule = ["--set", "batch.schedule.name=plateau", "--set", "batch.schedule.most=512", "--set", "stop.patience=3", "--set", "schedule.scaling=adascale", "--set", "schedule.referenceBatch=64"];
        using var command = Command.Start(["plan", .. Small, .. schedule, "--measure", "--json", "--price-per-worker-hour", "2", "--plot", _folder["plan.svg"]]);
        var ended = await command.EndAsync();
        Assert.Equal(0, ended.Code);
        Assert.Empty(ended.Left);
        var predictions = JsonNode.Parse(ended.Out)!["predictions"]!.AsArray();
        Assert.Equal([1, 2, 4], predictions.Select(p => (int)p!["workers"]!));
        Assert.All(predictions, p =>
        {
            Assert.InRange((double)p!["stepSeconds"]!, 1e-5, 10);
            Assert.Equal(128 / (double)p["stepSeconds"]!, (double)p["samplesPerSecond"]!, 3);
            Assert.InRange((long)p["memory"]!["total"]!, 100_000_000, 1_000_000_000);
            Assert.Equal(p["memory"]!.AsObject().Where(m => m.Key != "total").Sum(m => (long)m.Value!), (long)p["memory"]!["total"]!);
            Assert.Equal(2 * (int)p["workers"]! * (double)p["hours"]!, (double)p["cost"]!, 9);
        });
        Assert.Contains("batch.schedule.name is plateau, and every step that is measured takes 128 samples.\n", ended.Error, StringComparison.Ordinal);
        Assert.Contains("Measuring steps of 2 workers, about ", ended.Error, StringComparison.Ordinal);
        Assert.StartsWith("<?xml", await File.ReadAllTextAsync(_folder["plan.svg"], TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("mlp", true)]
    [InlineData("resnet", false)]
    public async Task A_plan_says_as_a_run_does_that_a_model_computes_nothing_in_segments(string model, bool isSaid)
    {
        var ended = await Command.RunAsync("plan", "digits", "--set", $"model.name={model}", "--set", "activationCheckpointing=2", "--set", "batch.micro=16");
        Assert.Equal(0, ended.Code);
        Assert.Equal(
            isSaid,
            ended.Error.Contains("\nwarning: activationCheckpointing is 2, and saves no memory: this model computes no layers in segments on this device. ", StringComparison.Ordinal));
        Assert.Equal(isSaid ? 2 : 1, ended.Error.Count(c => c == '\n'));
        Assert.Empty(ended.Left);
    }

    [Fact]
    public async Task Tune_measures_ascending_sizes_and_chooses_one_of_them()
    {
        var ended = await Command.RunAsync(["tune", .. Small, "--json", "--set", "memory.limit=900TB", "--plot", _folder["tune.svg"]]);
        Assert.Equal(0, ended.Code);
        Assert.StartsWith("warning: memory.limit is 900 TB, and there are only ", ended.Error, StringComparison.Ordinal);
        Assert.Empty(ended.Left);
        var sizes = JsonNode.Parse(ended.Out)!["sizes"]!.AsArray().Select(s => (int)s!["microBatch"]!).ToList();
        Assert.Equal(sizes.Select((_, i) => 1 << i), sizes);
        Assert.Contains((int)JsonNode.Parse(ended.Out)!["choice"]!, sizes);
        Assert.True(File.Exists(_folder["tune.svg"]));
    }

    [Fact]
    public async Task A_limit_that_nothing_fits_is_a_sentence_and_exit_code_1()
    {
        var ended = await Command.RunAsync(["tune", .. Small, "--set", "memory.limit=20MB", "--plot", _folder["tune.svg"]]);
        Assert.Equal((1, ""), (ended.Code, ended.Out));
        Assert.Contains("\nerror: A micro-batch of one sample needs ", ended.Error, StringComparison.Ordinal);
        Assert.Empty(ended.Left);
        Assert.False(File.Exists(_folder["tune.svg"]));
    }

    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    public async Task An_interrupted_measurement_ends_with_its_processes(string signal)
    {
        using var command = Command.Start("plan", "digits", "--measure");
        await Command.WaitForAsync(() => command.Processes("measure worker").Count > 0);
        var children = command.Processes();
        command.Signal(signal);
        var ended = await command.EndAsync(children);
        Assert.Equal(1, ended.Code);
        Assert.EndsWith("error: Stopped before the plan was finished.\n", ended.Error, StringComparison.Ordinal);
        Assert.Empty(ended.Left);
    }
}
