using System.Globalization;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Core.Schedules;

namespace DistTrain.Core.Runs;

/// <summary>
/// What follows from what a run shows: when it ends, and how its global batch goes on where that follows the validation loss or the noise scale. A fold over the operations in their order: what
/// it says depends on them and the configuration alone. Not safe for concurrent use.
/// </summary>
/// <param name="options">The configuration, valid.</param>
public sealed class RunDecider(RunOptions options)
{
    /// <summary>The batch follows the noise scale only where that differs by more than this part: smaller moves save nothing.</summary>
    private const double LeastMove = 0.1;

    private readonly NoiseTrack _noise = new(options.Seed);
    private Patience _plateau = Patience.Fresh;
    private Patience _stop = Patience.Fresh;

    /// <summary>Takes what the next operation showed.</summary>
    /// <param name="shown">What.</param>
    /// <param name="course">The course that has been told of it, with what was decided from earlier operations.</param>
    /// <returns>What is decided; null for nothing.</returns>
    public RunDecision? Take(OperationEvidence shown, RunCourse course)
    {
        var (batch, reason) = shown.Kind == OperationKind.Evaluate ? OfEvaluation(shown.Loss, course.Length.BatchOf(shown.Step + RunDecision.Delay)) : OfStep(shown, course.Length);
        (batch, reason) = shown.Kind == OperationKind.Train && EndOf(course, shown.Step) is { } end ? (0, end) : (batch, reason);
        return reason is null ? null : new RunDecision(shown.Kind, shown.Step, batch, reason);
    }

    private (long Batch, string? Reason) OfEvaluation(double loss, long batch)
    {
        var (stop, schedule) = (options.Stop, options.Batch.Schedule);
        _stop = _stop.After(loss, stop.MinimumImprovement);
        _plateau = _plateau.After(loss, schedule.MinimumImprovement);
        if (stop.ValidationLoss > 0 && loss <= stop.ValidationLoss)
        {
            return (0, $"the validation loss is {Text(loss)}, and stop.validationLoss {Text(stop.ValidationLoss)}");
        }

        if (stop.Patience > 0 && _stop.Waited >= stop.Patience)
        {
            return (0, InVain(_stop.Best, stop.MinimumImprovement, _stop.Waited));
        }

        if (schedule.Name != BatchScheduleOptions.Plateau || _plateau.Waited < schedule.Patience)
        {
            return default;
        }

        var waited = _plateau.Waited;
        _plateau = _plateau with { Waited = 0 };
        var grown = Math.Min(schedule.Most, Math.Max(batch + 1, (long)Math.Min(Math.Round(batch * schedule.Factor), schedule.Most)));
        return grown > batch ? (grown, InVain(_plateau.Best, schedule.MinimumImprovement, waited)) : default;
    }

    private (long Batch, string? Reason) OfStep(OperationEvidence shown, RunLength length)
    {
        var schedule = options.Batch.Schedule;
        if (schedule.Name != BatchScheduleOptions.Noise)
        {
            return default;
        }

        _noise.Add(shown.Step, shown.Moments, preconditioned: null);
        _noise.Trim();
        var every = Math.Max(1, new RunLength(length.DataSize, options.Batch.Global).SamplesIn(RunDuration.Of(schedule.EveryEpochs, schedule.EverySteps, schedule.EverySamples)));
        if (length.SamplesOf(shown.Step) / every == length.SamplesOf(shown.Step - 1) / every || _noise.Of().Plain is not { Unresolved: null } noise)
        {
            return default;
        }

        var batch = length.BatchOf(shown.Step + RunDecision.Delay);
        var wanted = Math.Clamp(Math.Clamp(noise.Value, batch / schedule.Factor, batch * schedule.Factor), schedule.First, schedule.Most);
        var micro = Math.Max(1, options.Batch.Micro);
        var moved = Math.Clamp((long)Math.Round(wanted / micro) * micro, schedule.First, schedule.Most);
        return Math.Abs(moved - batch) > LeastMove * batch
            ? (moved, $"the noise scale is {NoiseScale.Text(noise.Value)} samples, 95 % interval {NoiseScale.Text(noise.Low)} to {NoiseScale.Text(noise.High)}")
            : default;
    }

    /// <summary>Why the run ends, where the steps that are handed out already are worth all of it.</summary>
    private static string? EndOf(RunCourse course, long step) =>
        course.Progress is { } progress && progress.Before(step + RunDecision.Delay, course.Length) >= progress.Whole
            ? $"these steps are worth {progress.Whole:N0} samples in batches of {progress.ReferenceBatch:N0}, as many as stop asks for"
            : null;

    private static string InVain(double best, double least, int waited) =>
        $"the validation loss has not {(double.IsInfinity(best) ? "been a finite number" : $"improved on {Text(best)}{(least > 0 ? $" by more than {Text(least)}" : "")}")} in {waited} evaluation{(waited == 1 ? "" : "s")}";

    private static string Text(double loss) => loss.ToString("G5", CultureInfo.InvariantCulture);

    /// <summary>How long nothing has become better.</summary>
    /// <param name="Best">The least loss so far.</param>
    /// <param name="Waited">Evaluations since then.</param>
    private readonly record struct Patience(double Best, int Waited)
    {
        public static Patience Fresh { get; } = new(double.PositiveInfinity, 0);

        /// <summary>A loss that is not finite is no improvement.</summary>
        public Patience After(double loss, double least) => loss < Best - least ? new Patience(loss, 0) : this with { Waited = Waited + 1 };
    }
}
