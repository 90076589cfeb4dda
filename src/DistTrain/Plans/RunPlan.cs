using System.Globalization;
using DistTrain.Core.Batches;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Core.Schedules;
using DistTrain.Core.Tuning;
using DistTrain.Views;

namespace DistTrain.Plans;

/// <summary>What one step goes by.</summary>
/// <param name="Step">The step, from 1.</param>
/// <param name="Epochs">The part of the data that was used before it, in epochs.</param>
/// <param name="Batch">Samples of a full step there.</param>
/// <param name="Now">Rate, betas and epsilon; where the rate follows a gain that is measured, at the least, 1.</param>
/// <param name="Highest">The rate where every gain is the largest; null where there is none, or the run is over then.</param>
internal readonly record struct RatePoint(long Step, double Epochs, long Batch, StepHyperparameters Now, double? Highest);

/// <summary>Micro-batches of another size, from a step on.</summary>
/// <param name="Step">The first such step.</param>
/// <param name="Micro">Most samples of a micro-batch.</param>
/// <param name="Plan">A full step from then on.</param>
internal sealed record PlannedChange(long Step, int Micro, StepPlan Plan);

/// <summary>Everything about a run that can be known before it starts.</summary>
internal sealed record RunPlan
{
    private const int CurvePoints = 240;

    public required string Name { get; init; }

    public required long GlobalBatch { get; init; }

    /// <summary>How the first step is cut up.</summary>
    public required BatchGeometry Geometry { get; init; }

    public required int Workers { get; init; }

    public required RunLength Length { get; init; }

    public required long ValidationSamples { get; init; }

    /// <summary>How workers get the data, in a sentence; null where they have them, or find them by themselves.</summary>
    public required string? DataWay { get; init; }

    public required long Steps { get; init; }

    public required long Samples { get; init; }

    /// <summary>The fewest steps and samples, where that depends on what the run measures: then the others are the most. Else null.</summary>
    public required (long Steps, long Samples)? Shortest { get; init; }

    /// <summary>What is decided from what the run measures, in sentences.</summary>
    public required IReadOnlyList<string> Undecided { get; init; }

    /// <summary>An ordinary step.</summary>
    public required StepPlan Full { get; init; }

    /// <summary>The short step that ends an epoch; null where the data divide evenly.</summary>
    public required StepPlan? Last { get; init; }

    /// <summary>Where <c>batch.microFrom</c> changes the size of micro-batches; those that come behind the end are left out.</summary>
    public required IReadOnlyList<PlannedChange> Changes { get; init; }

    /// <summary>How often validation data are evaluated: to within one or two, where several intervals fall together.</summary>
    public required long Evaluations { get; init; }

    /// <summary>What it would take on this host; empty where nothing was measured.</summary>
    public IReadOnlyList<RunPrediction> Predictions { get; init; } = [];

    /// <summary>What that means, in sentences.</summary>
    public IReadOnlyList<string> Advice { get; init; } = [];

    /// <summary>First, last, in between, and on both sides of every change of the global batch.</summary>
    public required IReadOnlyList<RatePoint> Rates { get; init; }

    /// <summary>The same at equal distances, close enough to draw.</summary>
    public required IReadOnlyList<RatePoint> Curve { get; init; }

    /// <summary>What the rate's rule does to the last step's batch; null where nothing is scaled.</summary>
    public required string? Scaling { get; init; }

    /// <summary>How long everything may take.</summary>
    public required Timeouts Timeouts { get; init; }

    /// <summary>What is allowed and probably not meant.</summary>
    public required IReadOnlyList<string> Warnings { get; init; }

    /// <summary>Plans a run.</summary>
    public static RunPlan Of(RunOptions options, long trainingSamples, long validationSamples)
    {
        var (given, isAuto) = (options, options.Batch.IsAuto);
        options = options.WithMicro(new BatchOptions().Micro);
        var course = new RunCourse(options, trainingSamples, validationSamples);
        var length = course.Length;
        var bounds = PlanBounds.Of(options, course);
        var steps = course.TotalSteps;
        var fewest = course.Progress is { } progress ? Math.Min(steps, length.StepsTo(progress.Whole)) : 0;
        var last = options.Batch.Schedule.FollowsEvidence ? options.Batch.Schedule.Most : length.BatchOf(steps);
        var geometry = options.Geometries.Of(OperationKind.Train, 1) with { Global = length.GlobalBatch };
        var full = StepPlan.Of(Math.Min(length.GlobalBatch, trainingSamples), geometry, options.Workers);
        return new RunPlan
        {
            Name = options.Name,
            GlobalBatch = length.GlobalBatch,
            Geometry = geometry,
            Workers = options.Workers,
            Length = length,
            ValidationSamples = validationSamples,
            DataWay = WayOf(options),
            Steps = bounds.MostSteps,
            Samples = bounds.MostSamples,
            Shortest = (bounds.FewestSteps, bounds.FewestSamples) == (bounds.MostSteps, bounds.MostSamples) ? null : (bounds.FewestSteps, bounds.FewestSamples),
            Undecided = [.. PlanBounds.Undecided(options, validationSamples)],
            Full = full,
            Last = length.LastStepSamples < full.Batch.Samples ? StepPlan.Of(length.LastStepSamples, geometry, options.Workers) : null,
            Changes = [.. ChangesOf(options, bounds.MostSteps, full.Batch.Samples)],
            Evaluations = validationSamples == 0 ? 0 : EvaluationsOf(options.Evaluate, trainingSamples, bounds),
            Rates = PointsOf(course, fewest, RatesOf(course, options, steps)),
            Scaling = new BatchScaling(options, trainingSamples).Describe(last) is { } scaling ? $"{options.Schedule.Scaling} scaling: {scaling}" : null,
            Curve = PointsOf(course, fewest, Enumerable.Range(0, CurvePoints + 1).Select(i => Math.Max(1, (long)((Int128)steps * i / CurvePoints))).Concat(AroundChanges(length, steps))),
            Timeouts = new Timeouts(options.FailureDetection),
            Warnings = [.. CourseRemarks.On(given, course), .. WarningsOf(options, full).Concat(isAuto ? [Assumption(options, MicroBatchSearch.LargestOf(options, trainingSamples))] : Array.Empty<string>())],
        };
    }

    private static IEnumerable<PlannedChange> ChangesOf(RunOptions options, long steps, long samples)
    {
        var schedule = options.Geometries;
        var now = schedule.Of(OperationKind.Train, 1);
        foreach (var step in options.Batch.MicroFrom.Keys.Select(k => long.Parse(k, CultureInfo.InvariantCulture)).Order().Where(s => s <= steps))
        {
            var next = schedule.Of(OperationKind.Train, step);
            if (next != now)
            {
                yield return new PlannedChange(step, next.Micro, StepPlan.Of(samples, next, options.Workers));
            }

            now = next;
        }
    }

    private static long EvaluationsOf(EvaluateOptions every, long dataSize, PlanBounds bounds)
    {
        var (steps, samples) = (bounds.MostSteps, bounds.MostSamples);
        var epochs = every.EveryEpochs > 0 ? samples / dataSize / every.EveryEpochs : 0;
        var bySteps = every.EverySteps > 0 ? steps / every.EverySteps : 0;
        var bySamples = every.EverySamples > 0 ? samples / every.EverySamples : 0;
        var isLastDue = (every.EveryEpochs > 0 && samples % dataSize == 0 && samples / dataSize % every.EveryEpochs == 0)
            || (every.EverySteps > 0 && steps % every.EverySteps == 0);
        return Math.Min(steps, epochs + bySteps + bySamples + (isLastDue ? 0 : 1));
    }

    private static string? WayOf(RunOptions options)
    {
        var (location, _) = DataLocation.Read(options.Data);
        var (url, path) = (location.Url, DataLocation.PathOf(options.Data));
        if (string.IsNullOrEmpty(url) && !location.Stream)
        {
            return string.IsNullOrEmpty(path) ? null : $"every worker reads {path}";
        }

        var kept = $"checks SHA-256, and keeps at most {location.Cache} of data in its cache";
        var own = string.IsNullOrEmpty(url) ? string.IsNullOrEmpty(path) ? "its own copy" : path : url;
        return location.Stream ? $"every worker gets {own} from the coordinator, {kept}" : $"every worker's host downloads {url} once, {kept}";
    }

    private static IEnumerable<long> RatesOf(RunCourse course, RunOptions options, long steps)
    {
        var length = course.Length;
        var schedule = course.Progress?.Schedule ?? length.Schedule(options);
        var warm = Math.Clamp(length.StepsTo((Int128)schedule.WarmupSamples + 1), 1, steps);
        long[] points = [1, warm, steps / 4, steps / 2, steps - steps / 4, steps];
        return points.Concat(AroundChanges(length, steps));
    }

    /// <summary>The last step of a size, and the first of another.</summary>
    private static IEnumerable<long> AroundChanges(RunLength length, long steps) =>
        length.Stages.Skip(1).SelectMany(s => new[] { s.Steps, s.Steps + 1 }).Where(s => s <= steps);

    /// <param name="course">The course.</param>
    /// <param name="fewest">Its fewest steps, where it ends by what they are worth; else 0.</param>
    /// <param name="steps">Which.</param>
    private static RatePoint[] PointsOf(RunCourse course, long fewest, IEnumerable<long> steps)
    {
        var largest = course.WithLargestGain();
        return
        [
            .. steps.Concat([fewest / 2, fewest]).Where(s => s >= 1).Distinct().Order().Select(s => new RatePoint(
                s, course.Length.SamplesOf(s - 1) / (double)course.TrainingSamples, course.Length.BatchOf(s), course.HyperparametersOf(s), s <= fewest ? largest.HyperparametersOf(s).Rate : null)),
        ];
    }

    private static string Assumption(RunOptions options, long largest) =>
        $"batch.micro is auto: the workers measure 1, 2, 4 and so on up to {largest:N0} samples when the run begins, as far as they fit their memory, and take "
        + $"the smallest that is nearly the fastest. This plan is for {options.Batch.Micro}: give --measure to find the size here, or --set batch.micro=N to plan for another.";

    private static IEnumerable<string> WarningsOf(RunOptions options, StepPlan full)
    {
        if (options.Workers > full.Batch.Blocks)
        {
            var idle = options.Workers - full.Batch.Blocks;
            yield return $"{Words.Count(options.Workers, "worker")} share {Words.Count(full.Batch.Blocks, "block")}: {idle:N0} of them {(idle == 1 ? "has" : "have")} nothing to compute; "
                + "lower batch.micro, or raise batch.global or batch.blocks.";
        }
    }
}
