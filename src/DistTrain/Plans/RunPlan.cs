using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Views;

namespace DistTrain.Plans;

/// <summary>The learning rate of one step.</summary>
internal readonly record struct RatePoint(long Step, double Rate);

/// <summary>Everything about a run that can be known before it starts.</summary>
internal sealed record RunPlan
{
    public required string Name { get; init; }

    public required long GlobalBatch { get; init; }

    public required int MicroBatch { get; init; }

    public required int Workers { get; init; }

    public required RunLength Length { get; init; }

    public required long ValidationSamples { get; init; }

    /// <summary>How workers get the data, in a sentence; null where they have them, or find them by themselves.</summary>
    public required string? DataWay { get; init; }

    public required long Steps { get; init; }

    public required long Samples { get; init; }

    /// <summary>An ordinary step.</summary>
    public required StepPlan Full { get; init; }

    /// <summary>The short step that ends an epoch; null where the data divide evenly.</summary>
    public required StepPlan? Last { get; init; }

    /// <summary>First, last, and in between.</summary>
    public required IReadOnlyList<RatePoint> Rates { get; init; }

    /// <summary>How long everything may take.</summary>
    public required Timeouts Timeouts { get; init; }

    /// <summary>What is allowed and probably not meant.</summary>
    public required IReadOnlyList<string> Warnings { get; init; }

    /// <summary>Plans a run.</summary>
    public static RunPlan Of(RunOptions options, long trainingSamples, long validationSamples)
    {
        var isAuto = options.Batch.IsAuto;
        options = options.WithMicro(new BatchOptions().Micro);
        var length = new RunLength(trainingSamples, options.Batch.Global);
        var steps = length.Steps(options.Stop);
        var full = StepPlan.Of(Math.Min(options.Batch.Global, trainingSamples), options.Geometry, options.Workers);
        return new RunPlan
        {
            Name = options.Name,
            GlobalBatch = options.Batch.Global,
            MicroBatch = options.Batch.Micro,
            Workers = options.Workers,
            Length = length,
            ValidationSamples = validationSamples,
            DataWay = WayOf(options),
            Steps = steps,
            Samples = length.SamplesOf(steps),
            Full = full,
            Last = length.LastStepSamples < full.Batch.Samples ? StepPlan.Of(length.LastStepSamples, options.Geometry, options.Workers) : null,
            Rates = RatesOf(options, length, steps),
            Timeouts = new Timeouts(options.FailureDetection),
            Warnings = [.. WarningsOf(options, trainingSamples, full).Concat(isAuto ? [Assumption(options)] : Array.Empty<string>())],
        };
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

    private static RatePoint[] RatesOf(RunOptions options, RunLength length, long steps)
    {
        var schedule = length.Schedule(options);
        var warm = Math.Clamp(schedule.WarmupSamples / Math.Max(1, Math.Min(length.GlobalBatch, length.DataSize)) + 1, 1, steps);
        long[] points = [1, warm, steps / 4, steps / 2, steps - steps / 4, steps];
        return [.. points.Where(s => s >= 1).Distinct().Order()
            .Select(s => new RatePoint(s, schedule.RateOf(length.SamplesOf(s - 1), length.SamplesOfStep(s))))];
    }

    private static string Assumption(RunOptions options) =>
        $"batch.micro is auto: the workers find the size when the run begins, and this plan is for {options.Batch.Micro}. Give --set batch.micro=N to plan for another.";

    private static IEnumerable<string> WarningsOf(RunOptions options, long trainingSamples, StepPlan full)
    {
        if (options.Batch.Global > trainingSamples)
        {
            yield return $"batch.global is {options.Batch.Global:N0} and the data hold {Words.Count(trainingSamples, "sample")}: every epoch is one step of {trainingSamples:N0}.";
        }

        if (options.Workers > full.Batch.Blocks)
        {
            var idle = options.Workers - full.Batch.Blocks;
            yield return $"{Words.Count(options.Workers, "worker")} share {Words.Count(full.Batch.Blocks, "block")}: {idle:N0} of them {(idle == 1 ? "has" : "have")} nothing to compute; "
                + "lower batch.micro, or raise batch.global or batch.blocks.";
        }
    }
}
