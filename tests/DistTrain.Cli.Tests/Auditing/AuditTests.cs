using System.Text.Json.Nodes;
using DistTrain.Core.Journals;

namespace DistTrain.Cli.Tests.Auditing;

/// <summary>A real run that was disturbed passes; whatever is changed in its folder afterwards is found by the check that is there for it.</summary>
public sealed class AuditTests(DisturbedRun run) : IClassFixture<DisturbedRun>
{
    /// <summary>What is changed, the check that must fail, and what its sentence must name.</summary>
    private static readonly Dictionary<string, (string Check, string Names, Action<Tampering> Tamper)> Table = new()
    {
        ["no configuration"] = ("configuration", "config.yaml is missing", t => File.Delete(t["config.yaml"])),
        ["configuration is no YAML"] = ("configuration", "config.yaml", t => t.Append("config.yaml", "batch: [\n")),
        ["configuration holds an unknown key"] = ("configuration", "nonsense", t => t.Append("config.yaml", "nonsense: 1\n")),
        ["a file is missing"] = ("files", "plans.jsonl is missing", t => File.Delete(t["plans.jsonl"])),
        ["a step's line is damaged"] = ("files", "metrics.jsonl is damaged: line 4", t => t.Lines("metrics.jsonl", l => l[3] = l[3][..20])),
        ["a last line is damaged, and has an end"] = ("files", "evaluations.jsonl is damaged", t => t.Append("evaluations.jsonl", "{\"step\":\n")),
        ["an event is damaged"] = ("files", "events.jsonl is damaged: line 2", t => t.Lines("events.jsonl", l => l[1] = "")),
        ["a reissue is damaged"] = ("files", "reissues.jsonl is damaged: line 1", t => t.Lines("reissues.jsonl", l => l[0] = "null")),

        ["a step is missing"] = ("steps", "no step 7, and goes on with step 8", t => t.Lines("metrics.jsonl", l => l.RemoveAll(s => s.Contains("{\"step\":7,", StringComparison.Ordinal)))),
        ["the first step is missing"] = ("steps", "no step 1,", t => t.Lines("metrics.jsonl", l => l.RemoveAt(0))),
        ["a step 0"] = ("steps", "steps count from 1", t => t.Step(1, s => s["step"] = 0)),
        ["samples counted twice"] = ("samples", "step 5: samples is", t => t.Step(5, s => s["samples"] = (long)s["samples"]! + 40)),
        ["a sample dropped"] = ("samples", "step 6: globalBatch is 9, and 10 by", t => t.Step(6, s => s["globalBatch"] = 9)),
        ["another epoch"] = ("samples", "step 4: epoch is 0, and 1 by", t => t.Step(4, s => s["epoch"] = 0)),
        ["another micro-batch"] = ("samples", "step 4: microBatch is 4, and 3 by", t => t.Step(4, s => s["microBatch"] = 4)),
        ["a step after the end"] = ("samples", "holds step 28, and the run has 27 steps", t => t.Lines("metrics.jsonl", l => l.Add(l[^1].Replace("{\"step\":27,", "{\"step\":28,", StringComparison.Ordinal)))),
        ["another rate"] = ("rates", "step 12: lr is", t => t.Step(12, s => s["lr"] = (double)s["lr"]! * (1 + 1e-9))),
        ["another schedule"] = ("rates", "metrics.jsonl, step", t => File.WriteAllText(t["config.yaml"], File.ReadAllText(t["config.yaml"]).Replace("name: cosine", "name: constant", StringComparison.Ordinal))),
        ["other weights the second time"] = ("again", "when it was computed again", t => t.Lines("metrics.jsonl", l =>
        {
            var last = JsonNode.Parse(l[^1])!;
            last["weightsHash"] = "0123456789abcdef";
            l.Insert(l.Count - 1, last.ToJsonString());
        })),

        ["an evaluation is missing"] = ("evaluations", "none after step 6, where one is due", t => t.Lines("evaluations.jsonl", l => l.RemoveAll(e => e.Contains("{\"step\":6,", StringComparison.Ordinal)))),
        ["the last evaluation is missing"] = ("evaluations", "none after step 27", t => t.Lines("evaluations.jsonl", l => l.RemoveAt(l.Count - 1))),
        ["an evaluation that is not due"] = ("evaluations", "step 7: no evaluation is due there", t => t.Append("evaluations.jsonl", """{"step":7,"samples":57,"weightsHash":"h"}""" + "\n")),
        ["an evaluation of fewer samples"] = ("evaluations", "step 12: samples is 56, and the validation data hold 57", t => t.Step(12, e => e["samples"] = 56, "evaluations.jsonl")),
        ["an evaluation of other weights"] = ("evaluations", "step 12: it is of weights h", t => t.Step(12, e => e["weightsHash"] = "h", "evaluations.jsonl")),

        ["a plan gives a block out twice"] = ("plans", "plan 1, of 14 blocks: block ", t => t.Line("plans.jsonl", p => (ulong)p["number"]! == 1, p => Assignment(p, 14)["ranges"]![1]![0] = 0)),
        ["a plan forgets the last block"] = ("plans", "block 13 is given to nobody", t => t.Line("plans.jsonl", p => (ulong)p["number"]! == 1, p => Assignment(p, 14)["ranges"]![2]![1] = 13)),
        ["a plan has a block too many"] = ("plans", "block 14 does not exist", t => t.Line("plans.jsonl", p => (ulong)p["number"]! == 1, p => Assignment(p, 14)["ranges"]![2]![1] = 15)),
        ["a plan with half a range"] = ("plans", "a range is not a first block and an end", t => t.Line("plans.jsonl", p => (ulong)p["number"]! == 1, p => Assignment(p, 14)["ranges"]![2]!.AsArray().RemoveAt(1))),
        ["a plan that was used is missing"] = ("blocks", "plans.jsonl has no plan of ", t => t.Lines("plans.jsonl", l => l.RemoveAt(l.Count - 1))),
        ["a block handed out again twice"] = ("blocks", "is given out twice", t => t.Lines("reissues.jsonl", l => Reissue(l, r => Share(r).Add(new JsonArray(0, 1))))),
        ["a block lost when handed out again"] = ("blocks", "is given to nobody", t => t.Lines("reissues.jsonl", l => Reissue(l, r => Share(r).RemoveAt(0)))),
        ["other blocks when handed out again"] = ("blocks", "it has 3 blocks, and ", t => t.Lines("reissues.jsonl", l => Reissue(l, r => r["blocks"] = 3))),
        ["a worker that computed more"] = ("blocks", "step 26: rank 0 computed 15 blocks", t => t.Line("workers.jsonl", w => (long)w["step"]! == 26, w => w["blocks"] = 15)),
        ["an operation of another step"] = ("blocks", "workers.jsonl has no line of step 26", t => t.Line("workers.jsonl", w => (long)w["step"]! == 26, w => w["step"] = 25)),
        ["an operation nobody computed"] = ("blocks", "workers.jsonl has no line of step 2.", t => t.Lines("workers.jsonl", l => l.RemoveAll(w => w.Contains("{\"operation\":2,", StringComparison.Ordinal)))),

        ["a generation goes back"] = ("generations", "metrics.jsonl, line", t => t.Step(25, s => s["generation"] = 1)),
        ["an event of the past"] = ("generations", "events.jsonl, line", t => t.Lines("events.jsonl", l => l.Add("""{"event":"x","generation":1}"""))),

        ["a bit of the weights"] = ("checkpoints", "model.safetensors has SHA-256", t => Flip(t[$"{t.Checkpoint}/model.safetensors"], -9)),
        ["a bit of the optimizer"] = ("checkpoints", "optimizer.safetensors has SHA-256", t => Flip(t[$"{t.Checkpoint}/optimizer.safetensors"], -9)),
        ["a head that is none"] = ("checkpoints", "has no head that lists its tensors", t => Flip(t[$"{t.Checkpoint}/model.safetensors"], 8)),
        ["a file cut off"] = ("checkpoints", "bytes, its manifest says", t => Cut(t[$"{t.Checkpoint}/model.safetensors"])),
        ["a file is gone"] = ("checkpoints", "optimizer.safetensors is missing", t => File.Delete(t[$"{t.Checkpoint}/optimizer.safetensors"])),
        ["a manifest is gone"] = ("checkpoints", "has no manifest.json that can be read", t => File.Delete(t[$"{t.Checkpoint}/manifest.json"])),
        ["a manifest lists nothing"] = ("checkpoints", "lists no model.safetensors", t => t.Object($"{t.Checkpoint}/manifest.json", m => m["files"] = new JsonArray())),
        ["a manifest of another step"] = ("checkpoints", "manifest.json is of step 26", t => t.Object($"{t.Checkpoint}/manifest.json", m => m["step"] = 26)),
        ["a manifest of other weights"] = ("checkpoints", "metrics.jsonl has", t => t.Object($"{t.Checkpoint}/manifest.json", m => m["weightsHash"] = "h")),
        ["a manifest of another seed"] = ("checkpoints", "those of another configuration", t => t.Object($"{t.Checkpoint}/manifest.json", m => m["seed"] = 77)),
        ["a manifest of another geometry"] = ("checkpoints", "those of another configuration", t => t.Object($"{t.Checkpoint}/manifest.json", m => m["geometry"]!["micro"] = 4)),
        ["a cursor elsewhere"] = ("checkpoints", "the cursor is at epoch", t => t.Object($"{t.Checkpoint}/manifest.json", m => m["position"] = 1)),
        ["a checkpoint of the future"] = ("checkpoints", "is of step 99, and the run ends at step 27", t =>
        {
            t.Object($"{t.Checkpoint}/manifest.json", m => m["step"] = 99);
            Directory.Move(t[t.Checkpoint], t["checkpoints/step-00000099"]);
        }
        ),

        ["the summary is no JSON"] = ("summary", "summary.json is damaged", t => File.WriteAllText(t["summary.json"], "{")),
        ["another status"] = ("summary", "status is 'fine'", t => t.Object("summary.json", s => s["status"] = "fine")),
        ["fewer steps"] = ("summary", "steps is 26, and metrics.jsonl ends with step 27", t => t.Object("summary.json", s => s["steps"] = 26)),
        ["other samples"] = ("summary", "samples is 1, and 810", t => t.Object("summary.json", s => s["samples"] = 1)),
        ["other last weights"] = ("summary", "weightsHash is h", t => t.Object("summary.json", s => s["weightsHash"] = "h")),
        ["another SHA-256"] = ("summary", "weightsSha256 is h", t => t.Object("summary.json", s => s["weightsSha256"] = "h")),
        ["no SHA-256"] = ("summary", "weightsSha256 is missing", t => t.Object("summary.json", s => s.AsObject().Remove("weightsSha256"))),
        ["the last checkpoint is gone"] = ("summary", "weightsSha256 is", t => Directory.Delete(t[t.Checkpoint], recursive: true)),
        ["completed too early"] = ("summary", "the run is completed after step 26, and has 27 steps", t =>
        {
            t.Lines("metrics.jsonl", l => l.RemoveAt(l.Count - 1));
            var last = JsonNode.Parse(t.Lines("metrics.jsonl")[^1])!;
            t.Object("summary.json", s => (s["steps"], s["samples"], s["weightsHash"]) = (26, (long)last["samples"]!, (string)last["weightsHash"]!));
        }
        ),
        ["other data than the journal's"] = ("summary", "trainingSamples is 91, and 90 in the journal", t => t.Object("summary.json", s => s["trainingSamples"] = 91)),

        ["a journal line changed"] = ("journal", "is damaged: line 2", t => Journal(t, l => l[1] = l[1].Replace("\"number\":1", "\"number\":2", StringComparison.Ordinal))),
        ["a journal line taken out"] = ("journal", "is damaged: line 3", t => Journal(t, l => l.RemoveAt(2))),
        ["a journal without its run"] = ("journal", "does not begin with the run", t => t.Write(t.Entries().Skip(1))),
        ["a term left out"] = ("journal", "term 3 stands where term 2 should", t => t.Write(t.Entries().Append(new JournalEntry.Term(3, t.Entries().OfType<JournalEntry.Term>().Single().Configuration)))),
        ["a generation twice"] = ("journal", "generation 1 comes after generation 1", t => t.Write(t.Entries().SelectMany(e => e is JournalEntry.Generation { Number: 1 } ? new[] { e, e } : [e]))),
        ["a generation that nobody decided"] = ("journal", "its generation 2 is not in", t => t.Write(t.Entries().Where(e => e is not JournalEntry.Generation { Number: 2 }))),
        ["another configuration than the journal's"] = ("journal", "of another configuration than config.yaml", t => t.Write(t.Entries().Select(e => e is JournalEntry.Term ? new JournalEntry.Term(1, new Dictionary<string, string>()) : e))),
    };

    public static TheoryData<string> Names => [.. Table.Keys];

    [Fact]
    public async Task A_run_that_was_disturbed_passes()
    {
        var (code, text, error) = await Cli.RunAsync("audit", run.Folder);
        Assert.Equal((0, ""), (code, error));
        Assert.DoesNotContain("FAILED", text, StringComparison.Ordinal);
        Assert.Contains("1 to 27 without gap.", text, StringComparison.Ordinal);
        Assert.Matches("ok +again ", text);
        Assert.Matches("ok +blocks +.*handed out again around what was left", text);
        Assert.Matches("ok +summary +completed after 27 steps, 810 samples", text);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Whatever_is_changed_is_found_by_the_check_that_is_there_for_it(string name)
    {
        var (check, names, tamper) = Table[name];
        using var tampering = new Tampering(run.Folder);
        tamper(tampering);
        var (code, text, error) = await Cli.RunAsync("audit", tampering.Folder);
        Assert.Equal((1, ""), (code, error));
        Assert.Matches($"(^|\n)FAILED +{check} +.*{System.Text.RegularExpressions.Regex.Escape(names)}", text);
    }

    [Fact]
    public async Task Every_check_is_seen_to_fail()
    {
        var (_, text, _) = await Cli.RunAsync("audit", run.Folder, "--json");
        var checks = JsonNode.Parse(text)!["checks"]!.AsArray().Select(c => (string)c!["check"]!);
        Assert.Equal(checks.Except(["leftovers"]).Order(), Table.Values.Select(t => t.Check).Distinct().Order());
    }

    /// <summary>What a kill leaves is no failure: half a last line in any file, no summary, a checkpoint that was being written, no evaluation after the last step.</summary>
    [Fact]
    public async Task What_a_kill_leaves_is_said_and_no_failure()
    {
        using var tampering = new Tampering(run.Folder);
        tampering.Write(tampering.Entries().Where(e => e is not JournalEntry.End));
        foreach (var file in new[] { "metrics.jsonl", "evaluations.jsonl", "workers.jsonl", "plans.jsonl", "reissues.jsonl", "events.jsonl", Tampering.Journal })
        {
            tampering.Append(file, "{\"step\":2");
        }

        File.Delete(tampering["summary.json"]);
        tampering.Lines("evaluations.jsonl", l => l.RemoveRange(l.Count - 2, 2));
        Directory.CreateDirectory(tampering["checkpoints/step-00000028.7.tmp"]);
        var (code, text, _) = await Cli.RunAsync("audit", tampering.Folder);
        Assert.DoesNotContain("FAILED", text, StringComparison.Ordinal);
        Assert.Equal(0, code);
        Assert.Contains("there is none: the run is unfinished, after step 27.", text, StringComparison.Ordinal);
        Assert.Contains("The last line of metrics.jsonl,", text, StringComparison.Ordinal);
        Assert.Contains("The last line of plans.jsonl,", text, StringComparison.Ordinal);
        Assert.Contains("left by a process that was killed while it wrote: checkpoints/step-00000028.7.tmp.", text, StringComparison.Ordinal);
        Assert.Contains("its end is torn, as a killed process leaves it", text, StringComparison.Ordinal);
        Assert.Contains("90 training samples (from the journal)", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_summary_and_journal_the_first_epoch_tells_the_size_of_the_data_and_before_its_end_nothing_does()
    {
        using var tampering = new Tampering(run.Folder);
        File.Delete(tampering["summary.json"]);
        File.Delete(tampering[Tampering.Journal]);
        var (code, text, _) = await Cli.RunAsync("audit", tampering.Folder);
        Assert.Equal(0, code);
        Assert.Contains("90 training samples (from the first epoch of metrics.jsonl)", text, StringComparison.Ordinal);

        tampering.Lines("metrics.jsonl", l => l.RemoveRange(2, l.Count - 2));
        foreach (var checkpoint in Directory.EnumerateDirectories(tampering["checkpoints"]))
        {
            Directory.Delete(checkpoint, recursive: true);
        }

        (code, text, _) = await Cli.RunAsync("audit", tampering.Folder);
        Assert.Equal(0, code);
        Assert.Matches("unchecked +samples ", text);
        Assert.Matches("ok +steps +1 to 2 without gap", text);
    }

    /// <summary>A resumed run may change when it is evaluated and how long it is: what one of its configurations orders is allowed, what all order is due.</summary>
    [Fact]
    public async Task Of_a_run_that_was_resumed_every_configuration_counts()
    {
        using var tampering = new Tampering(run.Folder);
        var before = tampering.Entries().OfType<JournalEntry.Term>().Single();
        var after = before.Configuration.ToDictionary();
        after["evaluate.everyEpochs"] = "3";
        tampering.Write(tampering.Entries().Append(before with { Number = 2, Configuration = after }));
        File.WriteAllText(
            tampering["config.yaml"], File.ReadAllText(tampering["config.yaml"]).Replace("everyEpochs: \"2\"", "everyEpochs: 3", StringComparison.Ordinal).Replace("everyEpochs: 2", "everyEpochs: 3", StringComparison.Ordinal));
        var (code, text, _) = await Cli.RunAsync("audit", tampering.Folder);
        Assert.DoesNotContain("FAILED", text, StringComparison.Ordinal);
        Assert.Equal(0, code);

        // After step 18 both order one.
        tampering.Lines("evaluations.jsonl", l => l.RemoveAll(e => e.Contains("{\"step\":18,", StringComparison.Ordinal)));
        (code, text, _) = await Cli.RunAsync("audit", tampering.Folder);
        Assert.Equal(1, code);
        Assert.Contains("evaluations.jsonl has none after step 18, where one is due.", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Json_says_the_same()
    {
        using var tampering = new Tampering(run.Folder);
        tampering.Step(5, s => s["epoch"] = 7);
        var (code, text, _) = await Cli.RunAsync("audit", tampering.Folder, "--json");
        var json = JsonNode.Parse(text)!;
        Assert.Equal((1, false, true, 27L), (code, (bool)json["holds"]!, (bool)json["finished"]!, (long)json["steps"]!));
        Assert.Equal("samples", (string)Assert.Single(json["checks"]!.AsArray(), c => c!["holds"] is JsonValue holds && !(bool)holds)!["check"]!);
    }

    [Fact]
    public async Task What_is_no_folder_is_bad_usage()
    {
        using var tampering = new Tampering(run.Folder);
        Assert.Equal((2, "", $"error: {tampering["nosuch"]} does not exist: give a run's folder.\n"), await Cli.RunAsync("audit", tampering["nosuch"]));
        Assert.Equal((2, "", $"error: {tampering["config.yaml"]} is a file: give a run's folder.\n"), await Cli.RunAsync("audit", tampering["config.yaml"]));
        var other = Directory.CreateDirectory(tampering["other"]).FullName;
        Assert.Equal((2, "", $"error: {other} holds no run, neither its configuration nor its steps: give a run's folder.\n"), await Cli.RunAsync("audit", other));
        Assert.Equal(2, (await Cli.RunAsync("audit")).Code);
    }

    private static JsonNode Assignment(JsonNode plan, int blocks) => plan["assignments"]!.AsArray().Single(a => (int)a!["blocks"]! == blocks)!;

    /// <summary>Changes the first reissue: its operation was under way when the first worker was killed.</summary>
    private static void Reissue(List<string> lines, Action<JsonNode> change)
    {
        var reissue = JsonNode.Parse(lines[0])!;
        change(reissue);
        lines[0] = reissue.ToJsonString();
    }

    /// <summary>The ranges of a rank that contributes any.</summary>
    private static JsonArray Share(JsonNode reissue) =>
        reissue["shares"]!.AsArray().SelectMany(s => new[] { s!["held"]!.AsArray(), s["computed"]!.AsArray() }).First(r => r.Count > 0);

    private static void Journal(Tampering tampering, Action<List<string>> change)
    {
        tampering.Lines(Tampering.Journal, change);
    }

    private static void Flip(string file, int at)
    {
        var bytes = File.ReadAllBytes(file);
        bytes[at < 0 ? bytes.Length + at : at] ^= 1;
        File.WriteAllBytes(file, bytes);
    }

    private static void Cut(string file)
    {
        using var stream = File.OpenWrite(file);
        stream.SetLength(stream.Length - 1);
    }
}
