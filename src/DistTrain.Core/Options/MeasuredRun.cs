namespace DistTrain.Core.Options;

/// <summary>The configuration of a run whose steps are measured: so many steps of one size, and nothing but training, whatever the run's own says of its course. It is valid where that is.</summary>
public static class MeasuredRun
{
    /// <summary>Leaves out what decides how long the run is, and how its batch and rate change by what it shows. The noise scale costs time and memory, and is measured as it would be.</summary>
    /// <param name="options">The configuration, valid.</param>
    /// <param name="steps">How many steps.</param>
    public static RunOptions Of(RunOptions options, long steps) => options with
    {
        Batch = options.Batch with { Schedule = new BatchScheduleOptions(), NoiseScale = options.MeasuresNoise },
        Schedule = options.Schedule.Scaling == Schedules.AdaScaleProgress.Name ? options.Schedule with { Scaling = "none", ReferenceBatch = 0 } : options.Schedule,
        Stop = new StopOptions { Steps = steps },
        Evaluate = new EvaluateOptions { EveryEpochs = 0 },
    };

    /// <summary>What is measured otherwise than it would be trained, in a sentence; null for nothing.</summary>
    /// <param name="options">The run's own configuration.</param>
    /// <param name="samples">Samples of the steps that are measured.</param>
    public static string? Remark(RunOptions options, long samples) => options.Batch.Schedule.Name == BatchScheduleOptions.Constant
        ? null
        : $"batch.schedule.name is {options.Batch.Schedule.Name}, and every step that is measured takes {Counted.Of(samples, "sample")}.";
}
