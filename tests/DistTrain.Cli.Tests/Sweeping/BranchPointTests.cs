using System.Globalization;
using System.Text.Json;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Journals;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Sweeping;
using DistTrain.Training.Tasks;

namespace DistTrain.Cli.Tests.Sweeping;

/// <summary>What a sweep begins with at a checkpoint: the rate and the batch with which its run went on there, whatever had changed them by then.</summary>
public sealed class BranchPointTests : IDisposable
{
    private const long Data = 10_000;

    private static readonly RunOptions Run = new()
    {
        Name = "mine",
        Task = "toy",
        Model = new OptionSection("model", new Dictionary<string, string> { ["name"] = "m" }),
        Data = new OptionSection("data", new Dictionary<string, string> { ["name"] = "numbers" }),
        Batch = new BatchOptions { Global = 100 },
        Optimizer = new OptimizerOptions { LearningRate = 0.1 },
        Stop = new StopOptions { Epochs = 2 },
    };

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(49, 100, 0.1)]
    [InlineData(50, 400, 0.4)]
    [InlineData(60, 400, 0.4)]
    public void A_stage_that_has_begun_counts_with_the_rate_that_follows_it(long step, long batch, double rate)
    {
        var stages = new BatchScheduleOptions { Name = BatchScheduleOptions.InStages, Stages = new Dictionary<string, long> { ["50 steps"] = 400 } };
        var branch = At(step, Run with { Batch = Run.Batch with { Schedule = stages }, Schedule = new ScheduleOptions { Scaling = "linear" } });
        Assert.Equal((batch, rate), (branch.Batch, Math.Round(branch.Numbers.Rate, 9)));

        var options = branch.Continue(branch.Began);
        Assert.Equal((batch, rate), (options.Batch.Global, Math.Round(options.Optimizer.LearningRate, 9)));
        Assert.Equal((BatchScheduleOptions.Constant, new ScheduleOptions()), (options.Batch.Schedule.Name, options.Schedule));
    }

    [Theory]
    [InlineData(30, 100)]
    [InlineData(31, 200)]
    [InlineData(61, 800)]
    public void A_batch_that_was_decided_on_the_way_counts_from_its_step_on(long step, long batch)
    {
        var grows = Run with { Batch = Run.Batch with { Schedule = new BatchScheduleOptions { Name = BatchScheduleOptions.Plateau, Most = 800 } } };
        JournalEntry[] decided = [.. new (long Step, long Batch)[] { (30, 200), (60, 800) }.Select(d => new JournalEntry.Decision(new RunDecision(OperationKind.Evaluate, d.Step, d.Batch, "it does not improve")))];
        Assert.Equal(batch, At(step, grows, decided).Batch);
    }

    [Fact]
    public void The_place_on_a_cosine_is_that_of_the_samples_that_were_used()
    {
        // Half of 20,000 samples are used after 32 steps of 100 and 17 of 400.
        var grown = new JournalEntry.Decision(new RunDecision(OperationKind.Train, 31, 400, "noise"));
        var cosine = Run with
        {
            Batch = Run.Batch with { Schedule = new BatchScheduleOptions { Name = BatchScheduleOptions.Plateau, Most = 400 } },
            Schedule = new ScheduleOptions { Name = "cosine" },
        };
        Assert.Equal(0.05, At(49, cosine, grown).Numbers.Rate, 9);
    }

    [Fact]
    public void A_gain_counts_as_it_was_measured()
    {
        var options = Run with
        {
            Batch = Run.Batch with { Global = 400 },
            Schedule = new ScheduleOptions { Scaling = "adascale", ReferenceBatch = 100 },
        };

        // The variance of a step of 100 is as large as its signal: 400 are worth (1 + 1) / (1/4 + 1) such steps. A step that was computed twice has two lines.
        _folder.File("run/metrics.jsonl", string.Concat(Enumerable.Range(1, 6).Prepend(2).Select(step =>
            $$$"""{"step":{{{step}}},"epoch":0,"lr":0.1,"globalBatch":400,"microBatch":16,"samples":{{{400 * step}}},"generation":1,"weightsHash":"","noise":{"trace":100,"square":1}}""" + "\n")));
        var branch = At(6, options);
        Assert.Equal((400, 0.16), (branch.Batch, Math.Round(branch.Numbers.Rate, 9)));

        File.WriteAllText(_folder["run/metrics.jsonl"], "");
        Assert.Contains("metrics.jsonl has no line of step 1. Give a checkpoint in the folder of its run", Assert.Throws<DataException>(() => At(6, options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Betas_are_those_of_the_batch_unless_others_are_asked_for()
    {
        var stages = new BatchScheduleOptions { Name = BatchScheduleOptions.InStages, Stages = new Dictionary<string, long> { ["1 steps"] = 400 } };
        var branch = At(2, Run with
        {
            Batch = Run.Batch with { Schedule = stages },
            Optimizer = new OptimizerOptions { Name = "adam", LearningRate = 0.001 },
            Schedule = new ScheduleOptions { Scaling = "sqrt" },
        });
        var options = branch.Continue(branch.Began with { Optimizer = branch.Began.Optimizer with { Beta2 = 0.95 } });
        Assert.Equal((0.002, 0.6, 0.95, 5e-9), (Math.Round(options.Optimizer.LearningRate, 9), Math.Round(options.Optimizer.Beta1, 9), options.Optimizer.Beta2, Math.Round(options.Optimizer.Epsilon, 15)));
    }

    [Fact]
    public void Another_update_rule_has_its_own_rate_taken_to_the_batch()
    {
        var stages = new BatchScheduleOptions { Name = BatchScheduleOptions.InStages, Stages = new Dictionary<string, long> { ["1 steps"] = 400 } };
        var branch = At(2, Run with { Batch = Run.Batch with { Schedule = stages } });
        var options = branch.Continue(Run with { Optimizer = new OptimizerOptions { Name = "adamw", LearningRate = 0.001 } });
        Assert.Equal((400, 0.002), (options.Batch.Global, Math.Round(options.Optimizer.LearningRate, 9)));
    }

    [Fact]
    public void Where_the_rate_has_come_down_to_0_rates_are_named_that_can_be_given()
    {
        var branch = At(200, Run with { Schedule = new ScheduleOptions { Name = "cosine" } });
        Assert.Equal(
            $"At step 200 of {_folder["run"]} the rate has come down to 0, where its cosine schedule ends, and 0 has no multiples: give --rates as they are, such as 0.01,0.02,0.05, or an earlier checkpoint of the run.",
            branch.NoMultiples());
        Assert.Null(At(199, Run with { Schedule = new ScheduleOptions { Name = "cosine" } }).NoMultiples());
    }

    [Fact]
    public void A_run_whose_journal_is_lost_does_not_say_what_its_rate_was()
    {
        At(1, Run);
        File.Delete(_folder["run/journal/journal.jsonl"]);
        Assert.Matches("^The rate and the batch at step 1 of .*/run are not known: Could not find .*journal.jsonl'. Give a checkpoint in the folder of its run, with all that is in it.$",
            Assert.Throws<DataException>(() => BranchPoint.Find(_folder["run"])).Message);
    }

    [Fact]
    public void The_runs_keep_what_was_continued()
    {
        var branch = At(50, Run with { Schedule = new ScheduleOptions { Name = "cosine", WarmupSteps = 100 } });
        var cell = new SweepCell("sgd", 32, 0.025);
        var settings = new SweepSettings
        {
            Options = branch.Continue(branch.Began),
            Cells = [cell],
            Samples = 1000,
            Parallel = 1,
            Folder = "",
            TrainingSamples = Data,
            ValidationSamples = 10,
            Branch = branch,
        };
        var options = settings.OptionsOf(cell);
        Assert.Equal((0.051, 32, 0.025), (Math.Round(settings.Options.Optimizer.LearningRate, 9), options.Batch.Global, options.Optimizer.LearningRate));
        Assert.Equal((new ScheduleOptions(), branch.Start, Run.Seed + 50), (options.Schedule, options.Start, options.Seed));
    }

    /// <summary>Writes a run's folder with one checkpoint, and finds it.</summary>
    private BranchPoint At(long step, RunOptions options, params JournalEntry[] decided)
    {
        var check = 0UL;
        JournalEntry[] entries =
        [
            new JournalEntry.Run("0", "1.0"), new JournalEntry.Term(1, OptionsReader.Write(options)), new JournalEntry.Reference(new(Data, 10, "data", "layout", "probe", "weights", ["accuracy"], 0, [])), .. decided,
        ];
        _folder.File("run/journal/journal.jsonl", string.Concat(entries.Select(e => JournalText.Write(e, ref check))));
        var name = string.Create(CultureInfo.InvariantCulture, $"run/checkpoints/step-{step:00000000}");
        _folder.File($"{name}/manifest.json", JsonSerializer.Serialize(new
        {
            format = 2,
            step,
            weightsHash = "hash",
            configuration = OptionsReader.Write(options),
            vectors = new[] { "weights" },
            scalars = new Dictionary<string, double>(),
        }));
        return BranchPoint.Find(_folder[name]);
    }
}
