using System.Collections.Immutable;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Schedules;

/// <summary>
/// AdaScale over a run (T. Johnson et al., arXiv 2007.05105, algorithm 1): the gain of every step, and the progress, the sum of the gains, by which the schedule goes and the run ends. Immutable:
/// a pure function of the configuration and of the moments of the steps so far, which are the same for any workers.
/// </summary>
/// <remarks>
/// With s = batch / reference, and sigma^2 and mu^2 averaged up to and with step k - 2, the last that is known when step k is handed out,
/// <code>
/// r(k)    = (sigma^2 + mu^2) / (sigma^2 / s + mu^2)        1 in the first two steps
/// rate(k) = r(k) * lr(tau)
/// tau     = tau + r(k)                                     the run is over where tau reaches the steps of a run of the reference batch
/// </code>
/// Progress is tau in samples of the reference batch: every sample of step k counts as r(k) / s of one. So the short last step of an epoch is the part of a step that it is, and at s = 1 the run is the plain
/// one. The averages are the paper's (appendix B.3, theta = max(1 - s / 1000, 0), and the mean of all steps as long as these are fewer than 1 / (1 - theta)), with steps weighed by
/// the samples that they hold: over 1,000 reference batches. Estimates below 0 count as 0 before they are averaged.
/// </remarks>
public sealed record AdaScaleProgress
{
    /// <summary>The name of the rule in <c>schedule.scaling</c>.</summary>
    public const string Name = "adascale";

    /// <summary>So many reference batches the averages reach over.</summary>
    public const int Memory = 1000;

    private readonly long _dataSize;

    private AdaScaleProgress(RunOptions options, long dataSize)
    {
        // The schedule is that of a run of the reference batch. How many steps there may be as they come is no part of it.
        var reference = options with
        {
            Batch = options.Batch with { Global = Math.Min(BatchScaling.ReferenceOf(options), dataSize), Schedule = new BatchScheduleOptions() },
            Stop = options.Stop with { Steps = 0 },
        };
        var length = new RunLength(dataSize, reference.Batch.Global);
        (_dataSize, ReferenceBatch) = (dataSize, reference.Batch.Global);
        (Whole, Schedule) = (length.SamplesOf(length.Steps(reference.Stop)), length.Schedule(reference));
        MostSamples = (long)Math.Min(Math.Ceiling(Whole * (double)Math.Min(BatchScaling.LargestOf(options.Batch), dataSize) / ReferenceBatch), long.MaxValue / 2);
    }

    /// <summary>The batch that the rate is right for.</summary>
    public long ReferenceBatch { get; }

    /// <summary>The progress at which the run is over: samples of a run of the reference batch.</summary>
    public long Whole { get; }

    /// <summary>The samples that it takes where every gain is 1: there are no smaller ones.</summary>
    public long MostSamples { get; }

    /// <summary>The rate that a gain multiplies, over the progress.</summary>
    public LearningRateSchedule Schedule { get; }

    private ImmutableList<Seen> Steps { get; init; } = [];

    /// <summary>What counts as seen before any step was.</summary>
    private GradientMoments Unseen { get; init; }

    /// <summary>Before the first step; null where the rate does not follow the gain.</summary>
    /// <param name="options">The configuration, valid.</param>
    /// <param name="dataSize">Samples in the training data.</param>
    public static AdaScaleProgress? Of(RunOptions options, long dataSize) => options.Schedule.Scaling == Name ? new AdaScaleProgress(options, dataSize) : null;

    /// <summary>The limits of the run, before anything is known of its gains.</summary>
    /// <param name="stop">The configured ones.</param>
    public StopOptions Limits(StopOptions stop) => stop with { Epochs = 0, Samples = MostSamples };

    /// <summary>The same where every gain is the largest that there is.</summary>
    public AdaScaleProgress WithLargest() => this with { Unseen = new GradientMoments(1, 0), Steps = [] };

    /// <summary>What is known after one more step. One that is computed again shows what it did before.</summary>
    /// <param name="step">The step, at most the one after the last that was seen.</param>
    /// <param name="moments">Its moments; null where it has none.</param>
    /// <param name="length">How large the steps are.</param>
    public AdaScaleProgress With(long step, GradientMoments? moments, RunLength length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(step, Steps.Count + 1);
        if (step <= Steps.Count)
        {
            return this;
        }

        var (average, samples, _) = Steps.Count == 0 ? default : Steps[^1];
        if (moments is var (trace, square, more))
        {
            samples += more;
            var part = Math.Min(1, more / Math.Min(samples, Memory * (double)ReferenceBatch));
            average = new GradientMoments(
                average.Trace + (part * (Math.Max(0, trace) - average.Trace)), average.Square + (part * (Math.Max(0, square) - average.Square)));
        }

        return this with { Steps = Steps.Add(new Seen(average, samples, Before(step + 1, length))) };
    }

    /// <summary>The gain of a step; of one that is too far ahead for it to be known, by the newest averages.</summary>
    /// <param name="step">The step, from 1.</param>
    /// <param name="length">How large the steps are.</param>
    public double GainOf(long step, RunLength length) => GainOf(step, BatchOf(step, length));

    /// <summary>The progress before a step; it is known where the step's gain is.</summary>
    public double Before(long step, RunLength length)
    {
        var (done, at) = (step - 1, Math.Min(step - 1, Steps.Count));
        var progress = at == 0 ? 0 : Steps[(int)at - 1].Progress;
        while (at < done && at < Steps.Count + RunDecision.Delay)
        {
            progress += Of(++at, length);
        }

        // Whatever is further ahead: as the newest averages say, by pieces of one batch.
        for (var stage = 0; stage < length.Stages.Count && at < done; stage++)
        {
            var end = stage + 1 < length.Stages.Count ? Math.Min(done, length.Stages[stage + 1].Steps) : done;
            if (end > at)
            {
                progress += (length.SamplesOf(end) - length.SamplesOf(at)) * SampleOf(at + 1, length);
                at = end;
            }
        }

        return progress;
    }

    /// <summary>The progress that a step makes.</summary>
    public double Of(long step, RunLength length) => length.SamplesOfStep(step) * SampleOf(step, length);

    /// <summary>The samples that the run will have taken, as far as can be said by now: to its end with the gain of the next step.</summary>
    public long ExpectedSamples(RunLength length)
    {
        var next = Steps.Count + 1L;
        var more = Math.Max(0, Whole - Before(next, length)) / SampleOf(next, length);
        return (long)Math.Min(Math.Ceiling(length.SamplesOf(next - 1) + more), MostSamples);
    }

    /// <summary>The progress that one sample of a step makes.</summary>
    private double SampleOf(long step, RunLength length)
    {
        var batch = BatchOf(step, length);
        return GainOf(step, batch) * ReferenceBatch / batch;
    }

    private double GainOf(long step, long batch)
    {
        var seen = (int)Math.Clamp(step - RunDecision.Delay, 0, Steps.Count);
        return AdaScale.Gain(seen == 0 ? Unseen : Steps[seen - 1].Average, ReferenceBatch, batch);
    }

    private long BatchOf(long step, RunLength length) => Math.Min(length.BatchOf(step), _dataSize);

    /// <param name="Average">Of S and |G|^2, up to and with a step.</param>
    /// <param name="Samples">What they are averages over.</param>
    /// <param name="Progress">Of the steps up to and with it.</param>
    private readonly record struct Seen(GradientMoments Average, double Samples, double Progress);
}
