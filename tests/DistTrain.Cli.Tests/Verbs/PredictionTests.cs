using System.Text.Json.Nodes;
using System.Xml.Linq;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Measuring;
using DistTrain.Plans;

namespace DistTrain.Cli.Tests.Verbs;

/// <summary>Predictions from numbers that were made up in place of measured: a sample takes 1 ms, an exchange of two 20 ms.</summary>
public sealed class PredictionTests
{
    private const long MB = 1_000_000;

    private static readonly RunOptions Options = new()
    {
        Name = "made-up",
        Workers = 2,
        Batch = new BatchOptions { Global = 128, Micro = 8 },
        Stop = new StopOptions { Epochs = 2 },
    };

    [Fact]
    public void Step_run_and_cost_follow_from_what_was_measured()
    {
        var plan = RunPlan.Of(Options, 1280, 640);
        var one = RunPrediction.Of(plan, Host(plan), 1, price: 36);
        var two = RunPrediction.Of(plan, Host(plan), 2, price: 36);
        Assert.Equal((16L, 8L), (one.MicroBatchesPerWorker, two.MicroBatchesPerWorker));
        Assert.Equal((0.128 + 0.002, 0.064 + 0.02 + 0.002), (one.Time.Total, two.Time.Total));
        Assert.Equal(128 / 0.086, two.SamplesPerSecond, 6);

        // 20 steps and 2 evaluations, of which each worker has half.
        Assert.Equal((20 * 0.086) + (2 * 320 * 0.0003), two.Seconds, 6);
        Assert.Equal(36 * 2 * two.Seconds / 3600, two.Cost!.Value, 6);
        Assert.Null(RunPrediction.Of(plan, Host(plan), 1, price: null).Cost);
    }

    [Fact]
    public void Memory_of_what_was_measured_is_as_measured_and_some_growth_and_more_blocks_take_more_nodes()
    {
        var plan = RunPlan.Of(Options, 1280, 0);
        var measured = RunPrediction.Of(plan, Host(plan), 1, null).Memory;
        Assert.Equal((300 * MB) + RunPrediction.LaterGrowth, measured.Total);
        Assert.Equal((100 * MB, 4 * MB, 4 * MB, 5 * 4 * MB), (measured.Runtime, measured.Weights, measured.Optimizer, measured.Nodes));

        var larger = RunPlan.Of(Options with { Batch = new BatchOptions { Global = 512, Micro = 8 } }, 1280, 0);
        var predicted = RunPrediction.Of(larger, Host(plan), 1, null).Memory;
        Assert.Equal((2 * 4 * MB, measured.Activations), (predicted.Total - measured.Total, predicted.Activations));
    }

    [Theory]
    [InlineData(1, "1 2 4")]
    [InlineData(3, "1 2 3 4")]
    [InlineData(16, "1 2 4 8 16")]
    [InlineData(20, "1 2 4 8 16 20")]
    public void One_two_four_and_what_is_asked_for_are_predicted(int asked, string workers) => Assert.Equal(workers, string.Join(' ', RunPrediction.WorkersOf(asked)));

    [Theory]
    [InlineData(2_678_824, "Direct exchange: 2.68 MB a step are worth the messages between all of up to about 134 workers; beyond that the messages cost more than the bytes, as measured by gRPC.")]
    [InlineData(100_000_000, "Direct exchange: 100 MB a step are worth the messages between all of up to 4,096 workers.")]
    public void Advice_says_up_to_how_many_workers_direct_exchange_holds(long bytes, string sentence) => Assert.Equal(sentence, PlanAdvice.OnExchange(bytes));

    [Fact]
    public void Advice_says_what_is_not_worth_it_and_why()
    {
        var advice = Advise(Options, exchange: 0.02, room: 2);
        Assert.Contains("not worth it: this machine computes for 2 at a time", advice[1], StringComparison.Ordinal);
        Assert.Contains("is worth it for the time", advice[^1], StringComparison.Ordinal);
        Assert.Contains("arXiv 1811.03600", advice[^1], StringComparison.Ordinal);

        advice = Advise(Options, exchange: 0.2, room: 8);
        Assert.Contains("not worth it: exchange and update are 76 % of a step", advice[0].Replace("\u00a0", " ", StringComparison.Ordinal), StringComparison.Ordinal);

        advice = Advise(Options, exchange: 0, room: 8, update: 0);
        Assert.Contains("2 workers instead of 1: 2.00 times the samples/s, worth it where time matters.", advice);
        Assert.Contains("accumulation is not worth it for the time", advice[^1], StringComparison.Ordinal);
        Assert.Contains("arXiv 2507.07101", advice[^1], StringComparison.Ordinal);

        advice = Advise(Options with { Batch = new BatchOptions { Global = 16, Micro = 8 } }, exchange: 0.001, room: 8);
        Assert.Contains("a step has 2 blocks, and who has none computes nothing", advice[1], StringComparison.Ordinal);
        Assert.Equal("Nothing is accumulated: every worker computes one micro-batch a step.", advice[^1]);
    }

    [Fact]
    public void Tables_json_and_picture_hold_every_prediction()
    {
        var plan = RunPlan.Of(Options, 1280, 640);
        plan = plan with { Predictions = [.. new[] { 1, 2, 4 }.Select(n => RunPrediction.Of(plan, Host(plan), n, 0.5))] };
        var text = new StringWriter();
        PlanText.Write(text, plan);
        Assert.Contains("\nPredicted on this machine\n  workers  micro-batches each  blocks  step ms  compute  exchange  update  samples/s  whole run  cost\n", text.ToString(), StringComparison.Ordinal);
        Assert.Matches("\n +2 +8 +16 +86.0 +64.0 +20.0 +2.0 +1,488 ", text.ToString());

        var json = PlanText.Json(plan)["predictions"]!.AsArray();
        Assert.Equal([1, 2, 4], json.Select(p => (int)p!["workers"]!));
        Assert.Equal(
            ["runtime", "weights", "optimizer", "nodes", "exchange", "checkpoint", "activations", "total"], json[0]!["memory"]!.AsObject().Select(p => p.Key));
        Assert.Equal((300 * MB) + RunPrediction.LaterGrowth, (long)json[0]!["memory"]!["total"]!);

        using var folder = new TempFolder();
        PlanPlot.Write(plan, folder["plan.svg"]);
        Assert.Equal("svg", XDocument.Load(folder["plan.svg"]).Root!.Name.LocalName);
        Assert.Equal([folder["plan.svg"]], Directory.GetFiles(folder["."]).Select(Path.GetFullPath));
    }

    [Fact]
    public void Changes_of_the_micro_batch_are_shown_as_the_run_has_them()
    {
        var options = Options with { Batch = Options.Batch with { MicroFrom = new Dictionary<string, int> { ["15"] = 2, ["7"] = 4, ["900"] = 1 } } };
        var plan = RunPlan.Of(options, 1280, 0);
        Assert.Equal([(7L, 4, 32L), (15L, 2, 64L)], plan.Changes.Select(c => (c.Step, c.Micro, c.Plan.Batch.MicroBatches)));
        Assert.Equal(8, plan.Geometry.Micro);
        var text = new StringWriter();
        PlanText.Write(text, plan);
        Assert.Contains("\nFrom step 7 on, with micro-batches of at most 4: 128 samples, 32 micro-batches, 32 blocks\n", text.ToString(), StringComparison.Ordinal);
        Assert.Equal([7L, 15L], PlanText.Json(plan)["changes"]!.AsArray().Select(c => (long)c!["fromStep"]!));

        var fromTheStart = RunPlan.Of(Options with { Batch = Options.Batch with { MicroFrom = new Dictionary<string, int> { ["1"] = 4 } } }, 1280, 0);
        Assert.Equal((4, 0), (fromTheStart.Geometry.Micro, fromTheStart.Changes.Count));
    }

    [Fact]
    public void The_knee_and_what_is_over_the_limit_are_marked()
    {
        MicroBatchCost[] costs = [new(1, TimeSpan.FromMilliseconds(4), 0, 0), new(2, TimeSpan.FromMilliseconds(5), 0, 0), new(4, TimeSpan.FromMilliseconds(10), 0, 0)];
        var state = new StateSize(1000, 1, false);
        var sizes = new SizeMeasurement(
            new MeasuredModel(state, 900, 100 * MB, "cpu"), costs, [.. new[] { 100, 120, 190 }.Select(m => MemoryModel.Of(state, new(8, new(8, 1, 8)), 1, m * MB, 0))],
            new MicroBatchChoice(2, 2, "2 samples: because."), 200 * MB, 1);
        var text = new StringWriter();
        TuneText.Write(text, "made-up", sizes);
        Assert.Matches("\n +2 +5.00 +400 +120.0 +<- the knee: auto's choice\n +4 +10.00 +400 +190.0 +over what may be used\n", text.ToString());
        Assert.Contains("batch.micro: auto would choose 2 samples: because.\n", text.ToString(), StringComparison.Ordinal);
        var json = TuneText.Json("made-up", sizes);
        Assert.Equal((2, 3), ((int)json["choice"]!, json["sizes"]!.AsArray().Count));
        using var folder = new TempFolder();
        TuneText.Plot(folder["tune.svg"], "made-up", sizes);
        var drawn = File.ReadAllText(folder["tune.svg"]);
        Assert.Contains(">knee<", drawn, StringComparison.Ordinal);
        Assert.Contains(">limit<", drawn, StringComparison.Ordinal);
    }

    private static string[] Advise(RunOptions options, double exchange, int room, double update = 0.002)
    {
        var plan = RunPlan.Of(options, 1280, 0);
        return [.. PlanAdvice.On([.. new[] { 1, 2, 4 }.Select(n => RunPrediction.Of(plan, Host(plan, exchange, room, update), n, null))], 2, room)];
    }

    private static HostMeasurement Host(RunPlan plan, double exchange = 0.02, int room = 2, double update = 0.002) => new(
        new MeasuredModel(new StateSize(MB, 1, false), MB, 100 * MB, "cpu"),
        [new StepCost(1, 0.001, 0, update, 0.0003), new StepCost(2, 0.001, exchange, update, 0.0003)],
        [.. new[] { 1, 2 }.Select(n => new MeasuredPeak(n, new MeasuredStep(plan.Full.Batch.Samples, plan.Geometry), 300 * MB))],
        room);
}
