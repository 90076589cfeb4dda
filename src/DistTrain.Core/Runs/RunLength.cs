using DistTrain.Core.Options;
using DistTrain.Core.Schedules;

namespace DistTrain.Core.Runs;

/// <summary>From a step on, steps have another size.</summary>
/// <param name="Steps">The steps before it.</param>
/// <param name="Samples">Samples of those.</param>
/// <param name="Batch">Samples of a full step from then on.</param>
public readonly record struct BatchStage(long Steps, long Samples, long Batch);

/// <summary>
/// How long a run is, how large its steps are, and durations in samples: everything that follows from the size of the data, the global batch and where that changes. Between two changes
/// there are closed forms, so that nothing walks the steps.
/// </summary>
public sealed class RunLength
{
    private readonly BatchStage[] _stages;

    /// <summary>Of a run whose steps all have one size.</summary>
    /// <param name="dataSize">Samples in the training data, at least 1.</param>
    /// <param name="globalBatch">Samples of a full step, at least 1.</param>
    public RunLength(long dataSize, long globalBatch)
        : this(dataSize, [new BatchStage(0, 0, globalBatch)])
    {
    }

    private RunLength(long dataSize, BatchStage[] stages)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(dataSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(stages[^1].Batch, 1);
        (DataSize, _stages) = (dataSize, stages);
    }

    /// <summary>Samples in the training data.</summary>
    public long DataSize { get; }

    /// <summary>Samples of a full step, to begin with.</summary>
    public long GlobalBatch => _stages[0].Batch;

    /// <summary>Where steps change their size, in order; the first at the start.</summary>
    public IReadOnlyList<BatchStage> Stages => _stages;

    /// <summary>Steps of the first epoch; the last may be short.</summary>
    public long StepsPerEpoch => StepsTo(DataSize);

    /// <summary>Samples of that epoch's last step.</summary>
    public long LastStepSamples => SamplesOfStep(StepsPerEpoch);

    /// <summary>The same with another size of steps, from the first that begins when so many samples are used. Later changes are left out.</summary>
    public RunLength From(long samples, long batch) => FromStep(StepsTo(samples), batch);

    /// <summary>The same with another size of steps after a number of steps. Later changes are left out.</summary>
    public RunLength FromStep(long steps, long batch)
    {
        var before = _stages.TakeWhile(s => s.Steps < steps).ToArray();
        var isChange = steps < long.MaxValue && (before.Length == 0 || before[^1].Batch != batch);
        return new RunLength(DataSize, isChange ? [.. before, new BatchStage(steps, SamplesOf(steps), batch)] : before);
    }

    /// <summary>Samples of a full step, where a step comes.</summary>
    /// <param name="step">The step, from 1.</param>
    public long BatchOf(long step) => Last(s => s.Steps < step).Batch;

    /// <summary>Steps until the first of the limits is reached.</summary>
    public long Steps(StopOptions stop)
    {
        var steps = stop.Steps > 0 ? stop.Steps : long.MaxValue;
        steps = stop.Epochs > 0 ? Math.Min(steps, StepsTo((Int128)stop.Epochs * DataSize)) : steps;
        return stop.Samples > 0 ? Math.Min(steps, StepsTo(stop.Samples)) : steps;
    }

    /// <summary>The fewest steps that use so many samples.</summary>
    public long StepsTo(Int128 samples)
    {
        if (samples <= 0)
        {
            return 0;
        }

        var stage = Last(s => s.Samples < samples);
        var (wanted, left) = (samples - stage.Samples, LeftOfEpoch(stage));
        if (wanted <= left)
        {
            return Saturate(stage.Steps + Ceiling(wanted, stage.Batch));
        }

        var (epochs, rest) = (((wanted - left) / DataSize), ((wanted - left) % DataSize));
        return Saturate(stage.Steps + Ceiling(left, stage.Batch) + (epochs * Ceiling(DataSize, stage.Batch)) + Ceiling(rest, stage.Batch));
    }

    /// <summary>Samples that the first steps of a run use.</summary>
    public long SamplesOf(long steps)
    {
        var stage = Last(s => s.Steps <= steps);
        var (more, left) = ((Int128)steps - stage.Steps, LeftOfEpoch(stage));
        var ofEpoch = Ceiling(left, stage.Batch);
        if (more <= ofEpoch)
        {
            return Saturate(stage.Samples + Int128.Min(more * stage.Batch, left));
        }

        var perEpoch = Ceiling(DataSize, stage.Batch);
        var (epochs, rest) = ((more - ofEpoch) / perEpoch, (more - ofEpoch) % perEpoch);
        return Saturate(stage.Samples + left + (epochs * DataSize) + Int128.Min(rest * stage.Batch, DataSize));
    }

    /// <summary>Samples of one step, counted from 1.</summary>
    public long SamplesOfStep(long step) => SamplesOf(step) - SamplesOf(step - 1);

    /// <summary>Samples of a duration from the start of the run.</summary>
    public long SamplesIn(RunDuration duration) => duration.Unit switch
    {
        DurationUnit.Epochs => (long)Math.Min(duration.Amount * DataSize, long.MaxValue / 2),
        DurationUnit.Steps => SamplesOf((long)duration.Amount),
        _ => (long)duration.Amount,
    };

    /// <summary>The learning rate of a run of this length. What is given in steps there means steps of <c>batch.global</c> samples, so that a batch that changes does not move it.</summary>
    public LearningRateSchedule Schedule(RunOptions options)
    {
        var (schedule, nominal) = (options.Schedule, new RunLength(DataSize, options.Batch.Global));
        var shape = schedule.Name switch
        {
            "step" => ScheduleShape.Step,
            "cosine" => ScheduleShape.Cosine,
            _ => ScheduleShape.Constant,
        };
        var (_, whole, part) = BatchSchedule.InPlaceOfDecays(options);
        return new LearningRateSchedule(
            shape,
            options.Optimizer.LearningRate,
            nominal.SamplesIn(RunDuration.Of(schedule.WarmupEpochs, schedule.WarmupSteps, schedule.WarmupSamples)),
            SamplesOf(Steps(options.Stop)),
            Math.Max(1, nominal.SamplesIn(RunDuration.Of(schedule.EveryEpochs, schedule.EverySteps, schedule.EverySamples))),
            schedule.Factor,
            schedule.FinalRate)
        {
            DecaysLeftToBatch = whole,
            LastGrowth = part,
        };
    }

    /// <summary>The last stage of which something holds; it holds of the first ones, and of the very first.</summary>
    private BatchStage Last(Func<BatchStage, bool> holds)
    {
        var last = _stages.Length - 1;
        while (last > 0 && !holds(_stages[last]))
        {
            last--;
        }

        return _stages[last];
    }

    private long LeftOfEpoch(BatchStage stage) => DataSize - (stage.Samples % DataSize);

    private static Int128 Ceiling(Int128 samples, long batch) => (samples + batch - 1) / batch;

    private static long Saturate(Int128 value) => (long)Int128.Min(value, long.MaxValue);
}
