using System.Text.Json.Nodes;
using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Runs;

/// <summary>Runs with real processes, real verbs and the data that come with the program.</summary>
public sealed class RealRunTests : IDisposable
{
    /// <summary>A run of few steps in which nothing divides anything.</summary>
    private static readonly string[] Short =
        ["--set", "stop.epochs=0", "--set", "stop.steps=7", "--set", "batch.global=100", "--set", "batch.micro=7", "--set", "batch.blocks=11"];

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_run_leaves_a_whole_folder_and_its_configuration_repeats_it_on_any_number_of_workers()
    {
        var first = await Command.RunAsync(["train", "--out", _folder["two"], .. Short]);
        Assert.Equal((0, ""), (first.Code, first.Error));
        Assert.Empty(first.Left);
        Assert.Matches("(?m)^status +completed$", first.Out);
        Assert.Equal(
            [
                "checkpoints/best.json",
                "checkpoints/step-00000000/manifest.json", "checkpoints/step-00000000/model.safetensors", "checkpoints/step-00000000/optimizer.safetensors",
                "checkpoints/step-00000007/manifest.json", "checkpoints/step-00000007/model.safetensors", "checkpoints/step-00000007/optimizer.safetensors",
                "config.yaml", "evaluations.jsonl", "events.jsonl", "journal/journal.jsonl", "journal/journal.jsonl.lock",
                "logs/coordinator.log", "logs/worker-0.log", "logs/worker-1.log",
                "metrics.jsonl", "plans.jsonl", "reissues.jsonl", "summary.json", "workers.jsonl",
            ],
            Files("two"));

        var summary = Summary("two");
        Assert.Equal(("completed", 7, 700), ((string)summary["status"]!, (int)summary["steps"]!, (int)summary["samples"]!));
        Assert.Equal((2, 2, 2), ((int)summary["workers"]!["min"]!, (int)summary["workers"]!["max"]!, (int)summary["workers"]!["final"]!));
        var line = JsonNode.Parse(File.ReadLines(_folder["two/metrics.jsonl"]).Last())!.AsObject();
        Assert.Equal(
            [
                "step", "epoch", "loss", "lr", "globalBatch", "microBatch", "samples", "worldSize", "generation", "gradNorm", "skipped", "weightsHash",
                "stepMs", "samplesPerSecond",
            ],
            line.Select(f => f.Key).Take(14));
        Assert.Equal((string)summary["weightsHash"]!, (string)line["weightsHash"]!);

        foreach (var (name, workers) in new[] { ("one", 1), ("three", 3) })
        {
            var again = await Command.RunAsync("train", _folder["two/config.yaml"], "--workers", $"{workers}", "--out", _folder[name]);
            Assert.Equal((0, ""), (again.Code, again.Error));
            var verdict = await Command.RunAsync("verify", _folder["two"], _folder[name]);
            Assert.Equal((0, ""), (verdict.Code, verdict.Error));
            Assert.StartsWith("The runs are the same, bit for bit: 7 steps", verdict.Out, StringComparison.Ordinal);
            Assert.Equal((string)summary["weightsSha256"]!, (string)Summary(name)["weightsSha256"]!);
            await AuditAsync(name);
        }
    }

    [Fact]
    public async Task A_rate_that_follows_the_gain_is_in_the_lines_and_what_it_follows_from_is_audited()
    {
        var run = await Command.RunAsync(
            "train", "--out", _folder["gain"], "--set", "stop.epochs=1", "--set", "batch.global=100", "--set", "batch.micro=7", "--set", "schedule.scaling=adascale", "--set", "schedule.referenceBatch=25");
        Assert.Equal((0, ""), (run.Code, run.Error));
        Assert.Matches(", at most 60 steps of 100 samples", run.Out);
        Assert.Matches("rate [0-9.]+ \\(gain [1-4]\\.[0-9]{2}\\)", run.Out);
        Assert.Matches("ended early: these steps are worth 1,437 samples in batches of 25, as many as stop asks for", (string)Summary("gain")["reason"]!);
        await AuditAsync("gain");

        var lines = File.ReadAllLines(_folder["gain/metrics.jsonl"]);
        var third = JsonNode.Parse(lines[2])!;
        third["noise"]!["trace"] = 2 * (double)third["noise"]!["trace"]!;
        lines[2] = third.ToJsonString();
        File.WriteAllLines(_folder["gain/metrics.jsonl"], lines);
        var audit = await Command.RunAsync("audit", _folder["gain"]);
        Assert.Equal(1, audit.Code);
        Assert.Matches("FAILED +rates +metrics.jsonl, step 5: lr is ", audit.Out);
    }

    [Fact]
    public async Task The_check_can_fail_folding_per_worker_first_gives_other_bits()
    {
        string[] wrong = ["train", "digits", .. Short, "--set", "debug.foldPerWorker=true", "--out"];
        Assert.Equal(0, (await Command.RunAsync([.. wrong, _folder["one"], "--workers", "1"])).Code);
        Assert.Equal(0, (await Command.RunAsync([.. wrong, _folder["two"], "--workers", "2"])).Code);
        var verdict = await Command.RunAsync("verify", _folder["one"], _folder["two"]);
        Assert.Equal(1, verdict.Code);
        Assert.StartsWith("The runs differ from step 1 on: weightsHash is ", verdict.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_worker_that_is_killed_costs_no_step_and_comes_back()
    {
        string[] run = ["train", "--set", "stop.epochs=10", "--set", "debug.delayPerMicroBatch.0=5ms", "--json", "--out"];
        using var launcher = Command.Start([.. run, _folder["two"]]);
        await launcher.LineAsync("\"event\":\"step\"");
        var processes = launcher.Processes();
        Command.Signal("KILL", Assert.Single(launcher.Processes("--number 1")));

        var ended = await launcher.EndAsync(processes);
        Assert.Equal((0, ""), (ended.Code, ended.Error));
        Assert.Empty(ended.Left);
        Assert.Contains("Worker 1 was ended by signal 9 and is started again.", ended.Out, StringComparison.Ordinal);
        Assert.Equal((1, 2, 2), ((int)Summary("two")["workers"]!["min"]!, (int)Summary("two")["workers"]!["max"]!, (int)Summary("two")["workers"]!["final"]!));

        Assert.Equal(0, (await Command.RunAsync([.. run, _folder["one"], "--workers", "1", "--set", "debug.delayPerMicroBatch.0="])).Code);
        Assert.Equal(0, (await Command.RunAsync("verify", _folder["one"], _folder["two"])).Code);
    }

    [Fact]
    public async Task A_plan_of_faults_kills_at_its_block_and_cuts_its_link_and_costs_no_step()
    {
        var plan = _folder.File("plan.yaml", """
            faults:
              - kill: { worker: 1, step: 2, block: 2 }
              - cutLink: { workers: [0, 1], step: 3, members: 2 }
            """);
        string[] run = ["train", "--set", "stop.epochs=10", "--set", "debug.delayPerMicroBatch.0=5ms", "--set", "failureDetection=3s", "--json"];
        var ended = await Command.RunAsync([.. run, "--out", _folder["two"], "--faults", plan]);
        Assert.Equal((0, ""), (ended.Code, ended.Error));
        Assert.Empty(ended.Left);
        Assert.Contains("Fault 1 of 2 at step 2: worker 1 is killed after block 2.", ended.Out, StringComparison.Ordinal);
        Assert.Contains("Fault 2 of 2 at step ", ended.Out, StringComparison.Ordinal);

        // The survivor was handed step 2 again, around what it held. What the other had to say of step 1 may have died with it.
        Assert.Equal(1, File.ReadLines(_folder["two/metrics.jsonl"]).Select(l => (int)JsonNode.Parse(l)!["worldSize"]!).ElementAt(1));
        Assert.Contains("\"event\":\"link-broke\"", Text("two/events.jsonl"), StringComparison.Ordinal);
        var recovered = File.ReadLines(_folder["two/events.jsonl"]).Select(l => JsonNode.Parse(l)!).Where(l => (string)l["event"]! == "recovered").ToList();
        Assert.Contains(recovered, l => (string)l["kind"]! == "connection" && (int)l["step"]! <= 2);
        Assert.Contains(recovered, l => (string)l["kind"]! == "link");
        Assert.All(recovered, l => Assert.InRange((double)l["milliseconds"]!, 0, 60_000));
        Assert.StartsWith("# what was done to this run on purpose", Text("two/faults.yaml"), StringComparison.Ordinal);

        Assert.Equal(0, (await Command.RunAsync([.. run, "--out", _folder["one"], "--workers", "1", "--set", "debug.delayPerMicroBatch.0="])).Code);
        Assert.Equal(0, (await Command.RunAsync("verify", _folder["one"], _folder["two"])).Code);
        await AuditAsync("two");
    }

    [Fact]
    public async Task A_coordinator_that_is_killed_comes_back_and_no_step_is_lost()
    {
        string[] run = ["train", "--set", "stop.epochs=10", "--set", "debug.delayPerMicroBatch.0=5ms", "--json", "--out"];
        using var launcher = Command.Start([.. run, _folder["two"]]);
        await launcher.LineAsync("\"event\":\"step\"");
        var processes = launcher.Processes();
        Assert.Equal(3, processes.Count);
        Command.Signal("KILL", Assert.Single(launcher.Processes(" coordinator ")));

        var ended = await launcher.EndAsync(processes);
        Assert.Equal((0, ""), (ended.Code, ended.Error));
        Assert.Empty(ended.Left);
        Assert.Contains("Coordinator was ended by signal 9 and is started again.", ended.Out, StringComparison.Ordinal);
        Assert.Contains("\"name\":\"coordinator-back\"", ended.Out, StringComparison.Ordinal);
        Assert.DoesNotContain("Worker", string.Concat(ended.Out.Split('\n').Where(l => l.Contains("process-restarted", StringComparison.Ordinal))), StringComparison.Ordinal);
        Assert.DoesNotContain(Files("two"), f => f.Contains(".tmp", StringComparison.Ordinal));

        Assert.Equal(0, (await Command.RunAsync([.. run, _folder["one"], "--workers", "1", "--set", "debug.delayPerMicroBatch.0="])).Code);
        Assert.Equal(0, (await Command.RunAsync("verify", _folder["one"], _folder["two"])).Code);
    }

    [Fact]
    public async Task A_coordinator_that_may_not_come_back_ends_the_run_with_one_sentence()
    {
        using var launcher = Command.Start("train", "--out", _folder["run"], "--json", "--set", "stop.epochs=100000", "--max-restarts", "0");
        await launcher.LineAsync("\"event\":\"step\"");
        var processes = launcher.Processes();
        Command.Signal("KILL", Assert.Single(launcher.Processes(" coordinator ")));

        var ended = await launcher.EndAsync(processes);
        var sentence = $"Coordinator was ended by signal 9 before the run was finished; its log is {_folder["run/logs/coordinator.log"]}.";
        Assert.Equal((1, $"error: {sentence}\n"), (ended.Code, ended.Error));
        Assert.Equal("failed", (string)JsonNode.Parse(ended.Out.TrimEnd().Split('\n')[^1])!["status"]!);
        Assert.Empty(ended.Left);
        Assert.DoesNotContain(Files("run"), f => f.Contains(".tmp", StringComparison.Ordinal));
        await AuditAsync("run");
    }

    [Theory]
    [InlineData("TERM", 0, StopNotice.OfRun + "\n")]
    [InlineData("INT", 0, StopNotice.OfRun + "\n")]
    [InlineData("KILL", 137, "")]
    public async Task Whatever_ends_the_launcher_ends_everything(string signal, int code, string error)
    {
        using var launcher = Command.Start("train", "--out", _folder["run"], "--json", "--set", "stop.epochs=100000");
        await launcher.LineAsync("\"event\":\"step\"");
        var processes = launcher.Processes();
        launcher.Signal(signal);
        var ended = await launcher.EndAsync(processes);
        Assert.Equal((code, error), (ended.Code, ended.Error));
        Assert.Empty(ended.Left);
        Assert.DoesNotContain(Files("run"), f => f.Contains(".tmp", StringComparison.Ordinal));
        await AuditAsync("run");
        Assert.Equal("stopped", (string)Summary("run")["status"]!);
    }

    [Fact]
    public async Task Ctrl_C_before_a_worker_has_joined_ends_the_run_in_order_and_soon()
    {
        using var launcher = Command.Start("train", "--out", _folder["run"]);
        await Command.WaitForAsync(() => launcher.Processes("worker --coordinator").Count > 0);
        var processes = launcher.Processes();
        launcher.Signal("INT");

        // Mostly a second or two; a worker that nobody asks would try to join for 15.
        var ended = await launcher.EndAsync(processes).WaitAsync(TimeSpan.FromSeconds(12), TestContext.Current.CancellationToken);
        Assert.Equal((0, StopNotice.OfRun + "\n"), (ended.Code, ended.Error));
        Assert.Matches("(?m)^status +stopped$", ended.Out);
        Assert.Empty(ended.Left);
        Assert.DoesNotContain(Files("run"), f => f.Contains(".tmp", StringComparison.Ordinal));
        await AuditAsync("run");
        Assert.Equal("stopped", (string)Summary("run")["status"]!);
    }

    [Fact]
    public async Task A_users_own_program_trains_and_plans_its_own_task()
    {
        var file = _folder.File("mine.yaml", """
            task: pattern
            model: { name: pattern, hidden: 16 }
            data: { name: pattern, samples: 150 }
            batch: { global: 40, micro: 6 }
            stop: { epochs: 1 }
            """);
        using (var planner = Command.StartOwn("plan", file, "--workers", "3"))
        {
            var plan = await planner.EndAsync();
            Assert.Equal((0, ""), (plan.Code, plan.Error));
            Assert.Contains("150", plan.Out, StringComparison.Ordinal);
        }

        using var trainer = Command.StartOwn("train", file, "--out", _folder["mine"]);
        var run = await trainer.EndAsync();
        Assert.Equal((0, ""), (run.Code, run.Error));
        Assert.Contains("validation accuracy", run.Out, StringComparison.Ordinal);
        Assert.Equal(4, File.ReadLines(_folder["mine/metrics.jsonl"]).Count());
    }

    /// <summary>Whatever became of a run, what is left of it is right.</summary>
    private async Task AuditAsync(string run)
    {
        var audit = await Command.RunAsync("audit", _folder[run]);
        Assert.DoesNotContain("FAILED", audit.Out, StringComparison.Ordinal);
        Assert.Equal((0, ""), (audit.Code, audit.Error));
    }

    private JsonNode Summary(string run) => JsonNode.Parse(File.ReadAllText(_folder[$"{run}/summary.json"]))!;

    private string Text(string file) => File.ReadAllText(_folder[file]);

    private IEnumerable<string> Files(string run) =>
        Directory.EnumerateFiles(_folder[run], "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(_folder[run], f)).Order(StringComparer.Ordinal);
}
