using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Runs;

/// <summary>Real processes train with several batches, are ended, and go on.</summary>
public sealed class SweepRunTests : IDisposable
{
    private static readonly string[] Small = ["digits", "--set", "model.name=mlp", "--set", "failureDetection=20s", "--rates", "1x", "--samples", "2000"];
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_sweep_that_is_ended_goes_on_and_trains_nothing_twice()
    {
        string[] line = ["sweep", .. Small, "--batches", "8,128", "--out", _folder["sweep"], "--json"];
        foreach (var (signal, sentence) in new[] { ("INT", "error: Stopped before every run was done: the same command goes on.\n"), ("KILL", "") })
        {
            using var command = Command.Start(line);
            await Command.WaitForAsync(() => command.Processes("worker").Count > 0 && Lines("sgd-b8-r0.00625") > (signal == "INT" ? 2 : 40));
            var children = command.Processes();
            command.Signal(signal);
            var stopped = await command.EndAsync(children);
            Assert.Equal(signal == "INT" ? 1 : 137, stopped.Code);
            Assert.Equal(signal == "INT", stopped.Error.Contains(StopNotice.OfRuns, StringComparison.Ordinal));
            Assert.EndsWith(sentence, stopped.Error, StringComparison.Ordinal);
            Assert.Empty(stopped.Left);
        }

        var ended = await Command.RunAsync(line);
        Assert.Equal(0, ended.Code);
        Assert.Empty(ended.Left);
        var report = JsonNode.Parse(ended.Out)!;
        Assert.Equal([(8, 251), (128, 17)], report["runs"]!.AsArray().Select(r => ((int)r!["batch"]!, (int)r["steps"]!)));
        Assert.All(new[] { "report.html", "sweep.csv", "sweep.json", "steps.svg", "losses.svg" }, f => Assert.True(File.Exists(Path.Combine(_folder["sweep"], f)), f));

        // The same command has nothing left to do, and another batch is one run more; the order of the data and with it the bits are those of a run that nobody ended.
        var written = File.GetLastWriteTimeUtc(Summary("sweep", "sgd-b8-r0.00625"));
        var more = await Command.RunAsync(["sweep", .. Small, "--batches", "8,128,512", "--out", _folder["sweep"]]);
        Assert.Equal(0, more.Code);
        Assert.DoesNotContain("batch 8,", more.Error, StringComparison.Ordinal);
        Assert.Contains("3 of 3  sgd, batch 512, rate 0.4: validation loss ", more.Error, StringComparison.Ordinal);
        Assert.Equal(written, File.GetLastWriteTimeUtc(Summary("sweep", "sgd-b8-r0.00625")));

        // Fewer batches leave nothing out that is there.
        var fewer = await Command.RunAsync(["sweep", .. Small, "--batches", "512", "--out", _folder["sweep"]]);
        Assert.Equal((0, more.Out), (fewer.Code, fewer.Out));
        Assert.Equal(0, (await Command.RunAsync(["train", Configuration("sgd-b8-r0.00625"), "--out", _folder["straight"]])).Code);
        Assert.Equal(
            (string?)JsonNode.Parse(File.ReadAllText(Summary("sweep", "sgd-b8-r0.00625")))!["weightsSha256"],
            (string?)JsonNode.Parse(File.ReadAllText(Path.Combine(_folder["straight"], "summary.json")))!["weightsSha256"]);

        // Runs of another recipe do not mix with these.
        var other = await Command.RunAsync(["sweep", .. Small, "--batches", "8", "--out", _folder["sweep"], "--set", "seed=2"]);
        Assert.Equal(2, other.Code);
        Assert.Single(other.Error.Split("error: ", StringSplitOptions.RemoveEmptyEntries));
        Assert.EndsWith("sgd-b8-r0.00625 and 2 other runs: seed is '2': was 1 when the run began, and decides its bits: give it that value, or begin a new run. Or name another --out.\n", other.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_sweep_goes_on_from_a_checkpoint_at_the_end_of_a_cosine()
    {
        var trained = await Command.RunAsync(
            "train", "digits", "--out", _folder["run"], "--workers", "1", "--set", "model.name=mlp", "--set", "failureDetection=20s", "--set", "stop.epochs=2", "--set", "batch.schedule.name=stages",
            "--set", "batch.schedule.stages.1 epochs=256");
        Assert.Equal((0, ""), (trained.Code, trained.Error));
        string[] line = ["sweep", "--branch", _folder["run"], "--batches", "64", "--samples", "600", "--out", _folder["sweep"]];
        var left = await Command.RunAsync(line);
        Assert.Equal(2, left.Code);
        Assert.Matches("^error: At step 18 of .*/run the rate has come down to 0, where its cosine schedule ends, .* give --rates as they are, such as 0.01,0.02,0.05, or an earlier checkpoint of the run.\n$", left.Error);

        // What the help shows for this works.
        var help = (await Command.RunAsync("sweep", "--help")).Out;
        var rates = Regex.Match(help, "sweep --branch runs/digits .* --rates ([0-9.,]+) ").Groups[1].Value;
        var swept = await Command.RunAsync([.. line, "--rates", rates, "--json"]);
        Assert.Equal(0, swept.Code);
        Assert.StartsWith("Set aside: batch.schedule (stages), because a run keeps the batch that it shows.\n", swept.Error, StringComparison.Ordinal);
        Assert.Equal([0.01, 0.02, 0.05], JsonNode.Parse(swept.Out)!["runs"]!.AsArray().Select(r => (double)r!["rate"]!));
    }

    private long Lines(string cell) => Path.Combine(_folder["sweep"], "cells", cell, "metrics.jsonl") is var file && File.Exists(file) ? File.ReadLines(file).LongCount() : 0;

    private string Summary(string sweep, string cell) => Path.Combine(_folder[sweep], "cells", cell, "summary.json");

    private string Configuration(string cell) => Path.Combine(_folder["sweep"], "cells", cell, "config.yaml");
}
