using System.Text.Json.Nodes;

namespace DistTrain.Cli.Tests.Runs;

/// <summary>The bench verbs with configurations whose course follows what the run shows: they take so many steps all the same.</summary>
public sealed class BenchRunTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Steps_are_measured_where_the_batch_follows_the_noise_scale()
    {
        var ended = await Command.RunAsync(
            "bench", "step", "digits", "--workers", "1", "--steps", "12", "--rounds", "1", "--json", "--set", "model.name=mlp", "--set", "stop.patience=2",
            "--set", "batch.schedule.name=noise", "--set", "batch.schedule.first=16", "--set", "batch.schedule.most=512", "--set", "batch.schedule.everySteps=5");
        Assert.Equal((0, "batch.schedule.name is noise, and every step that is measured takes 128 samples.\nRound 1 of 1: 12 steps with 1 worker\n"), (ended.Code, ended.Error));
        Assert.Single(JsonNode.Parse(ended.Out)!["runs"]!.AsArray());
        Assert.Empty(ended.Left);
    }

    [Theory]
    [InlineData("schedule.scaling=adascale", "schedule.referenceBatch=5")]
    [InlineData("schedule.name=cosine", "batch.schedule.name=plateau", "batch.schedule.most=40")]
    public async Task What_recovers_is_a_run_that_its_processes_accept(params string[] settings)
    {
        // Nothing is trained: what the processes are given is read as they read it.
        var (code, _, _) = await Cli.RunAsync(
            Scenario.CoordinatorSilent, ["bench", "recover", "--workers", "2", "--kills", "1", "--out", _folder["run"], .. settings.SelectMany(s => new[] { "--set", s })]);
        Assert.Equal(1, code);
        (code, var plan, var error) = await Cli.RunAsync("plan", _folder["run/config.yaml"]);
        Assert.Equal((0, ""), (code, error));
        Assert.Contains("  steps               1,000,000  ", plan, StringComparison.Ordinal);
    }
}
