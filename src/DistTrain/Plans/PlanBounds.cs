using System.Globalization;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Plans;

/// <summary>How long a run may be where what it measures decides that: the gain of its steps, or what its batch follows. An early end is none of it.</summary>
/// <param name="FewestSteps">The fewest steps.</param>
/// <param name="MostSteps">The most.</param>
/// <param name="FewestSamples">The fewest samples.</param>
/// <param name="MostSamples">The most.</param>
internal sealed record PlanBounds(long FewestSteps, long MostSteps, long FewestSamples, long MostSamples)
{
    /// <summary>The bounds of a run.</summary>
    /// <param name="options">The configuration, valid.</param>
    /// <param name="course">Its course before anything is measured.</param>
    public static PlanBounds Of(RunOptions options, RunCourse course)
    {
        if (Batches(options, course.ValidationSamples) is var (least, most))
        {
            return OfBatches(new RunLength(course.TrainingSamples, least), new RunLength(course.TrainingSamples, most), options.Stop, course);
        }

        var (length, steps) = (course.Length, course.TotalSteps);
        var fewest = course.Progress is { } progress ? Math.Min(steps, length.StepsTo(progress.Whole)) : steps;
        return new PlanBounds(fewest, steps, length.SamplesOf(fewest), length.SamplesOf(steps));
    }

    /// <summary>What is decided on the way, in sentences; none where all is known ahead.</summary>
    /// <param name="options">The configuration, valid.</param>
    /// <param name="validationSamples">Samples of an evaluation; without any, nothing follows from evaluations.</param>
    public static IEnumerable<string> Undecided(RunOptions options, long validationSamples)
    {
        var (schedule, stop) = (options.Batch.Schedule, options.Stop);
        if (Batches(options, validationSamples) is var (least, most))
        {
            yield return (schedule.Name == BatchScheduleOptions.Plateau
                    ? $"batch.schedule.name is plateau: by what evaluations show the global batch may grow up to {most:N0} samples."
                    : $"batch.schedule.name is noise: by the noise scale the global batch may be anything between {least:N0} and {most:N0} samples.")
                + $" Steps and samples are the fewest and the most there may be, time is the most, and a step and the rate are those of {options.Batch.Global:N0} samples.";
        }

        string[] ends =
        [
            .. stop.Patience > 0 ? [$"stop.patience is {stop.Patience:N0}"] : Array.Empty<string>(),
            .. stop.ValidationLoss > 0 ? [string.Create(CultureInfo.InvariantCulture, $"stop.validationLoss is {stop.ValidationLoss}")] : Array.Empty<string>(),
        ];
        if (ends.Length > 0 && validationSamples > 0)
        {
            yield return $"{string.Join(" and ", ends)}: by what evaluations show the run may end earlier, and take less of everything.";
        }
    }

    /// <summary>The least and the largest batch that a run may come to by what it measures; null where the configuration alone says it.</summary>
    private static (long Least, long Most)? Batches(RunOptions options, long validationSamples) => options.Batch.Schedule.Name switch
    {
        BatchScheduleOptions.Plateau when validationSamples > 0 => (options.Batch.Global, options.Batch.Schedule.Most),
        BatchScheduleOptions.Noise => (options.Batch.Schedule.First, options.Batch.Schedule.Most),
        _ => null,
    };

    /// <summary>Whatever it changes to and when, no step has fewer samples than in the one length, and none more than in the other, but for the ends of epochs, at which both have one.</summary>
    private static PlanBounds OfBatches(RunLength least, RunLength most, StopOptions stop, RunCourse course)
    {
        // Where the gain decides, between as many samples as a run of the reference takes and the most.
        var (soonest, latest) = course.Progress is { } progress ? (stop with { Epochs = 0, Samples = progress.Whole }, progress.Limits(stop)) : (stop, stop);
        return new PlanBounds(
            most.Steps(soonest), least.Steps(latest),
            Samples(least, soonest, past: 0), Samples(most, latest, past: most.GlobalBatch - 1));
    }

    /// <param name="length">The steps.</param>
    /// <param name="stop">What ends the run.</param>
    /// <param name="past">How far the step that reaches <c>stop.samples</c> may go beyond, within its epoch.</param>
    private static long Samples(RunLength length, StopOptions stop, long past)
    {
        var samples = stop.Steps > 0 ? length.SamplesOf(stop.Steps) : long.MaxValue;
        samples = stop.Epochs > 0 ? (long)Int128.Min(samples, (Int128)stop.Epochs * length.DataSize) : samples;
        var epochEnd = (stop.Samples + (Int128)length.DataSize - 1) / length.DataSize * length.DataSize;
        return stop.Samples > 0 ? (long)Int128.Min(samples, Int128.Min((Int128)stop.Samples + past, epochEnd)) : samples;
    }
}
