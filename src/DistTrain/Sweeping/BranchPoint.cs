using System.Text.Json;
using System.Text.Json.Nodes;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Core.Schedules;
using DistTrain.Records;
using DistTrain.Training.Checkpoints;
using DistTrain.Training.Tasks;

namespace DistTrain.Sweeping;

/// <summary>
/// The checkpoint that the runs of a sweep begin with, so that what they find is the critical batch there (W. Merrill et al., arXiv 2505.23971, who call it branched training).
/// </summary>
/// <param name="Start">The checkpoint, for the runs' configurations.</param>
/// <param name="Run">The folder of the run that it belongs to.</param>
/// <param name="Step">The step after which it was taken.</param>
/// <param name="Loss">The validation loss there; null where that run was not evaluated at it.</param>
/// <param name="Began">What its run was configured by.</param>
/// <param name="Batch">The global batch with which its run went on, whatever had changed it by then.</param>
/// <param name="Numbers">The rate with which it went on, and what else of its update rule follows the batch.</param>
internal sealed record BranchPoint(StartOptions Start, string Run, long Step, double? Loss, RunOptions Began, long Batch, StepHyperparameters Numbers)
{
    /// <summary>Finds a checkpoint.</summary>
    /// <param name="path">A run's folder, or a checkpoint's.</param>
    /// <exception cref="DataException">There is none, or it is damaged, or what it takes beside it is.</exception>
    public static BranchPoint Find(string path)
    {
        var found = CheckpointFolder.Find(path);
        var facts = found.Facts();
        var start = new StartOptions { Checkpoint = Path.GetFullPath(found.Path), WeightsHash = facts.WeightsHash };
        var (options, course) = BranchCourse.Of(found, facts.Configuration);
        return new BranchPoint(start, found.Run, found.Step, LossAt(found.Run, found.Step), options, course.Length.BatchOf(found.Step + 1), course.HyperparametersOf(found.Step + 1));
    }

    /// <summary>A configuration as it goes on from here: with the batch and the numbers of here, which stay. An update rule that is not the run's has its own.</summary>
    /// <param name="options">The configuration.</param>
    public RunOptions Continue(RunOptions options)
    {
        var (rule, began) = (options.Optimizer, Began.Optimizer);
        return options with
        {
            Batch = options.Batch with { Global = Batch, Schedule = new BatchScheduleOptions() },
            Schedule = new ScheduleOptions(),
            Optimizer = rule.Name != began.Name
                ? rule with { LearningRate = SweepPlan.RateFor(new SweepOptimizer(rule.Name, rule.LearningRate), BatchScaling.ReferenceOf(options), Batch) }
                : rule with
                {
                    LearningRate = Numbers.Rate,
                    Beta1 = Now(rule.Beta1, began.Beta1, Numbers.Beta1),
                    Beta2 = Now(rule.Beta2, began.Beta2, Numbers.Beta2),
                    Epsilon = Now(rule.Epsilon, began.Epsilon, Numbers.Epsilon),
                },
        };

        // What is asked for and was otherwise in the run is asked for here.
        static double Now(double asked, double began, double now) => asked == began ? now : asked;
    }

    /// <summary>Why there are no multiples of the rate with which the run went on; null where there are.</summary>
    public string? NoMultiples() => Numbers.Rate > 0 ? null
        : $"At step {Step:N0} of {Run} the rate has come down to 0{(Began.Schedule.Name == "constant" ? "" : $", where its {Began.Schedule.Name} schedule ends")}, and 0 has no multiples: "
            + $"give --rates as they are, such as {string.Join(",", new[] { 0.1, 0.2, 0.5 }.Select(part => (part * Began.Optimizer.LearningRate).ToString("G3", System.Globalization.CultureInfo.InvariantCulture)))}, "
            + "or an earlier checkpoint of the run.";

    private static double? LossAt(string run, long step)
    {
        var file = Path.Combine(run, "evaluations.jsonl");
        try
        {
            return File.Exists(file)
                ? LineFile<JsonNode>.Read(file, line => JsonNode.Parse(line)).Lines
                    .Where(l => (long?)l["step"] == step && l["loss"] is JsonValue value && value.TryGetValue<double>(out var loss) && double.IsFinite(loss))
                    .Select(l => (double?)l["loss"])
                    .LastOrDefault()
                : null;
        }
        catch (Exception damaged) when (damaged is IOException or UnauthorizedAccessException or JsonException or InvalidOperationException or FormatException)
        {
            return null;
        }
    }
}
