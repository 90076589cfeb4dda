using System.Text.Json.Nodes;
using DistTrain.Benching;
using DistTrain.Worker.Health;

namespace DistTrain.Cli.Tests.Benching;

/// <summary>How phases and efficiency are made of a run's files.</summary>
public sealed class StepPhasesTests
{
    [Fact]
    public void Phases_are_medians_over_steps_of_means_over_workers_and_the_first_steps_do_not_count()
    {
        var metrics = Parse(
            """{"step":1,"samples":100,"stepMs":9000}""",
            """{"step":2,"samples":200,"stepMs":40}""",
            """{"step":3,"samples":300,"stepMs":60}""",
            """{"step":4,"samples":340,"stepMs":20}""");
        var workers = Parse(
            Worker(1, "train", 8000, 500, 300, 100),
            Worker(2, "train", 20, 10, 1, 4), Worker(2, "train", 30, 0, 1, 4),
            Worker(3, "train", 40, 8, 2, 4), Worker(3, "train", 50, 0, 2, 4),
            Worker(3, "evaluate", 7000, 7000, 7000, 0),
            Worker(4, "train", 10, 2, 1, 1), Worker(4, "train", 10, 2, 1, 1));
        var phases = StepPhases.Of(metrics, workers, uncounted: 1);
        Assert.Equal((40, 1, 25, 4, 4, 3), (phases.Step, phases.Wait, phases.Compute, phases.Exchange, phases.Apply, phases.Steps));
        Assert.Equal(6, phases.Other);
        Assert.Equal(240 / 0.12, phases.SamplesPerSecond, 6);
        Assert.Equal("tcp", phases.Transports);
        Assert.Equal(0.25, phases.Early);
    }

    [Fact]
    public void A_run_that_is_too_short_is_a_sentence()
    {
        var broken = Assert.Throws<BenchException>(() => StepPhases.Of(Parse("""{"step":1,"samples":100,"stepMs":9}"""), [], uncounted: 8));
        Assert.Equal("The run has 1 step, of which the first 8 do not count: give more --steps.", broken.Message);
    }

    [Fact]
    public void Efficiency_is_samples_a_second_by_worker_paired_by_round()
    {
        // The machine was half as fast in the second round: pairs do not see it.
        var report = new StepReport([(1, [Phases(100), Phases(50)]), (2, [Phases(180), Phases(90)])]);
        var runs = report.Json()["runs"]!;
        Assert.Equal((1.0, 0.9), ((double)runs[0]!["efficiency"]!, (double)runs[1]!["efficiency"]!));
        Assert.Equal((0.9, 0.9), ((double)runs[1]!["efficiencyLow"]!, (double)runs[1]!["efficiencyHigh"]!));

        var output = new StringWriter();
        report.Write(output);
        Assert.Contains("0.900 [0.900, 0.900]  tcp", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("\nMedians of 2 rounds of 50 steps. ", output.ToString(), StringComparison.Ordinal);

        // Every column between the first and the last two has its line below.
        var lines = output.ToString().Split('\n');
        string[] columns = ["step", "wait", "compute", "exchange", "early", "apply", "other", "allocated", "efficiency"];
        Assert.All(columns, column => Assert.True(lines[0].Contains($" {column}", StringComparison.Ordinal) && lines[1..].Any(line => line.StartsWith($"{column} ", StringComparison.Ordinal)), column));
        Assert.Equal(columns.Length + 3, lines[0].Split("  ", StringSplitOptions.RemoveEmptyEntries).Length);

        output = new StringWriter();
        new StepReport([(1, [Phases(100) with { Steps = 1 }])]).Write(output);
        Assert.Contains("\nMedians of 1 round of 1 step. ", output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_worker_says_in_its_log_is_read_and_the_one_that_allocates_most_counts()
    {
        var allocations = new StepAllocations();
        for (var step = 1; step <= StepAllocations.Uncounted; step++)
        {
            allocations.Note(isStep: true, 1_000_000 * step);
            Assert.Null(allocations.Sentence);
        }

        allocations.Note(isStep: true, 8_020_000);
        allocations.Note(isStep: false, 9_000_000);
        allocations.Note(isStep: true, 9_030_000);
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["logs"]);
        File.WriteAllLines(folder["metrics.jsonl"], ["""{"step":1,"samples":100,"stepMs":9}"""]);
        File.WriteAllLines(folder["workers.jsonl"], [Worker(1, "train", 1, 1, 1, 1)]);
        File.WriteAllLines(folder["logs/worker-0.log"], ["2026-01-01T00:00:00.000Z info: Member: generation 1", $"info: Memory: {allocations.Sentence}", "The run is over."]);
        Assert.Equal(25_000, StepPhases.Read(folder.Path, uncounted: 0).Allocated);
        File.WriteAllLines(folder["logs/worker-1.log"], [allocations.Sentence!.Replace("25000", "31000", StringComparison.Ordinal)]);
        Assert.Equal(31_000, StepPhases.Read(folder.Path, uncounted: 0).Allocated);
        File.WriteAllLines(folder["logs/worker-0.log"], []);
        File.WriteAllLines(folder["logs/worker-1.log"], ["Killed"]);
        Assert.Null(StepPhases.Read(folder.Path, uncounted: 0).Allocated);
    }

    private static StepPhases Phases(double rate) => new(40, 1, 30, 4, 4, 50, rate, "tcp");

    private static string Worker(int step, string kind, int compute, int exchange, int wait, int apply) =>
        $$"""{"step":{{step}},"kind":"{{kind}}","computeMs":{{compute}},"exchangeMs":{{exchange}},"waitMs":{{wait}},"applyMs":{{apply}},"bytesSent":8,"bytesEarly":{{(step == 1 ? 8 : 2)}},"transports":"tcp"}""";

    private static IReadOnlyList<JsonNode> Parse(params string[] lines) => [.. lines.Select(l => JsonNode.Parse(l)!)];
}
