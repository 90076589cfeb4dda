using System.Text.Json.Nodes;

namespace DistTrain.Cli.Tests.Sweeping;

/// <summary>What the command line of a sweep comes to: the Jobs that it would launch name its runs.</summary>
public sealed class SweepVerbTests
{
    private static readonly string[] DryRun = ["--on", "kubernetes", "--dry-run", "--json"];

    [Theory]
    [InlineData("--batches 10 --batches 40,10 --rates 1x", "sgd-b10-r0.05 sgd-b40-r0.2")]
    [InlineData("--batches 10 --rates 1x --rates 2x,0.3", "sgd-b10-r0.05 sgd-b10-r0.1 sgd-b10-r0.3")]
    [InlineData("--batches 10 --rates 1x --optimizers sgd --optimizers adamw=0.002", "sgd-b10-r0.05 adamw-b10-r0.002")]
    public async Task A_list_that_is_given_twice_is_one_list(string line, string runs) => Assert.Equal(runs, (await RunsAsync(line)).Runs);

    [Theory]
    [InlineData("--batches 10 --rates 1x,2x --optimizers sgd,sgd=0.1", "sgd-b10-r0.05 sgd-b10-r0.1 sgd-b10-r0.2")]
    [InlineData("--batches 10 --rates 0.3 --optimizers sgd,sgd=0.1", "sgd-b10-r0.3")]
    public async Task An_optimizer_with_two_rates_has_the_runs_of_both_once(string line, string runs) => Assert.Equal(runs, (await RunsAsync(line)).Runs);

    [Fact]
    public async Task Rates_are_multiples_at_the_batch_that_the_recipes_rate_is_for() => Assert.Equal(
        "sgd-b10-r0.05 sgd-b40-r0.2", (await RunsAsync("--batches 10,40 --rates 1x --set batch.global=40 --set schedule.scaling=linear --set schedule.referenceBatch=10")).Runs);

    [Fact]
    public async Task A_Job_trains_all_seeds_of_its_batch_and_rate()
    {
        var (code, output, error) = await Cli.RunAsync(["sweep", "toy", "--batches", "10,40", "--rates", "1x", "--seeds", "3", .. DryRun]);
        Assert.Equal((0, ""), (code, error));
        var jobs = JsonNode.Parse(output)!["items"]!.AsArray().Where(i => (string?)i!["kind"] == "Job").ToList();
        Assert.Equal(2, jobs.Count);
        Assert.All(jobs, j => Assert.EndsWith(" --seeds 3", string.Join(' ', j!["spec"]!["template"]!["spec"]!["containers"]![0]!["args"]!.AsArray()), StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_is_set_aside_is_told_with_the_reason()
    {
        Assert.Equal("", (await RunsAsync("--batches 10 --set evaluate.everySamples=5 --set schedule.name=cosine")).Error);
        Assert.Equal(
            "Set aside: batch.schedule (plateau), because a run keeps the batch that it shows; schedule.scaling (linear), because --rates says what each batch is tried with; "
            + "stop.patience (3) and stop.validationLoss (0.5), because a run ends at --target or when its samples are used; "
            + "evaluate.everyEpochs (2) and evaluate.everySteps (5), because every batch is evaluated after as many samples, as many as evaluate.everySamples says.\n",
            (await RunsAsync(
                "--batches 10 --set batch.schedule.name=plateau --set batch.schedule.most=80 --set schedule.scaling=linear --set stop.patience=3 --set stop.validationLoss=0.5 "
                + "--set evaluate.everyEpochs=2 --set evaluate.everySteps=5")).Error);
    }

    [Fact]
    public async Task The_example_of_a_checkpoint_needs_no_rate_that_is_left_there()
    {
        var (_, text, _) = await Cli.RunAsync("sweep", "--help");
        Assert.Contains("  sweep --branch runs/digits --batches 16,64,256 --rates 0.01,0.02,0.05 --samples 5000 ", text, StringComparison.Ordinal);
    }

    private static async Task<(string Runs, string Error)> RunsAsync(string line)
    {
        var (code, output, error) = await Cli.RunAsync(["sweep", "toy", .. line.Split(' '), .. DryRun]);
        Assert.True(code == 0, error);
        var jobs = JsonNode.Parse(output)!["items"]!.AsArray().Where(i => (string?)i!["kind"] == "Job");
        return (string.Join(' ', jobs.Select(j => (string)j!["metadata"]!["annotations"]!["disttrain/run"]!)), error);
    }
}
