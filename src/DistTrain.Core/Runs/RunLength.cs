using DistTrain.Core.Options;
using DistTrain.Core.Schedules;

namespace DistTrain.Core.Runs;

/// <summary>How long a run is, and durations in samples: everything that follows from the size of the data and the options.</summary>
/// <param name="DataSize">Samples in the training data, at least 1.</param>
/// <param name="GlobalBatch">Samples of a full step, at least 1.</param>
public readonly record struct RunLength(long DataSize, long GlobalBatch)
{
    /// <summary>Steps of one epoch; the last may be short.</summary>
    public long StepsPerEpoch => (DataSize - 1) / GlobalBatch + 1;

    /// <summary>Samples of an epoch's last step.</summary>
    public long LastStepSamples => DataSize - (StepsPerEpoch - 1) * Math.Min(GlobalBatch, DataSize);

    /// <summary>Steps until the first of the limits is reached.</summary>
    public long Steps(StopOptions stop)
    {
        var steps = long.MaxValue;
        if (stop.Epochs > 0)
        {
            steps = Math.Min(steps, Saturate((Int128)stop.Epochs * StepsPerEpoch));
        }

        if (stop.Steps > 0)
        {
            steps = Math.Min(steps, stop.Steps);
        }

        if (stop.Samples > 0)
        {
            var (epochs, rest) = Math.DivRem(stop.Samples, DataSize);
            steps = Math.Min(steps, Saturate((Int128)epochs * StepsPerEpoch + (rest + GlobalBatch - 1) / GlobalBatch));
        }

        return steps;
    }

    /// <summary>Samples that the first steps of a run use.</summary>
    public long SamplesOf(long steps)
    {
        var (epochs, rest) = Math.DivRem(steps, StepsPerEpoch);
        return Saturate((Int128)epochs * DataSize + Int128.Min((Int128)rest * GlobalBatch, DataSize));
    }

    /// <summary>Samples of one step, counted from 1.</summary>
    public long SamplesOfStep(long step) => SamplesOf(step) - SamplesOf(step - 1);

    /// <summary>The learning rate of a run of this length.</summary>
    public LearningRateSchedule Schedule(RunOptions options)
    {
        var schedule = options.Schedule;
        var shape = schedule.Name switch
        {
            "step" => ScheduleShape.Step,
            "cosine" => ScheduleShape.Cosine,
            _ => ScheduleShape.Constant,
        };
        return new LearningRateSchedule(
            shape,
            options.Optimizer.LearningRate,
            Duration(schedule.WarmupEpochs, schedule.WarmupSteps, schedule.WarmupSamples),
            SamplesOf(Steps(options.Stop)),
            Math.Max(1, Duration(schedule.EveryEpochs, schedule.EverySteps, schedule.EverySamples)),
            schedule.Factor,
            schedule.FinalRate);
    }

    private long Duration(double epochs, long steps, long samples) =>
        epochs > 0 ? (long)Math.Min(epochs * DataSize, long.MaxValue / 2) : steps > 0 ? SamplesOf(steps) : samples;

    private static long Saturate(Int128 value) => (long)Int128.Min(value, long.MaxValue);
}
