using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Protocol.V1;

namespace DistTrain.Coordinator;

/// <summary>Lines of the run's folder as those who watch see them.</summary>
internal static class Views
{
    /// <summary>A run whose first generation has begun, at least for this coordinator.</summary>
    public static RunEvent Begun(RunOptions options, RunCourse course, string folder, int members, long parameters) => new()
    {
        Started = new RunStarted
        {
            Name = options.Name,
            Folder = folder,
            TrainingSamples = course.TrainingSamples,
            TotalSteps = course.TotalSteps,
            TotalSamples = course.TotalSamples,
            GlobalBatch = options.Batch.Global,
            MicroBatch = options.Batch.Micro,
            WorldSize = members,
            Parameters = parameters,
            EndsByGain = course.Progress is not null,
        },
    };

    /// <summary>A completed step.</summary>
    public static RunEvent Of(StepRecord step, RunCourse course) => new()
    {
        Step = new StepDone
        {
            Step = step.Step,
            Epoch = step.Epoch,
            Samples = step.Samples,
            Loss = step.Loss ?? double.NaN,
            LearningRate = step.Lr,
            GradientNorm = step.GradNorm ?? double.NaN,
            Skipped = step.Skipped,
            WorldSize = step.WorldSize,
            Generation = step.Generation,
            StepMilliseconds = step.StepMs,
            SamplesPerSecond = step.SamplesPerSecond ?? double.NaN,
            WeightsHash = step.WeightsHash,
            Noise = step.NoiseReport is null ? null : Of(step.NoiseReport),
            Gain = step.Gain ?? 0,
            TotalSteps = step.Gain is null ? 0 : course.ExpectedSteps,
            TotalSamples = step.Gain is null ? 0 : course.Length.SamplesOf(course.ExpectedSteps),
        },
    };

    private static NoiseScale Of(NoiseReport noise) => new()
    {
        Value = noise.Value ?? double.NaN,
        Low = noise.Low ?? double.NaN,
        High = noise.High ?? double.NaN,
        Advice = noise.Advice,
        Preconditioned = noise.Preconditioned is null ? null : Of(noise.Preconditioned),
    };

    /// <summary>A completed evaluation.</summary>
    public static RunEvent Of(EvaluationRecord evaluation)
    {
        var done = new EvaluationDone
        {
            Step = evaluation.Step,
            Epoch = evaluation.Epoch,
            Samples = evaluation.Samples,
            Loss = evaluation.Loss ?? double.NaN,
        };
        foreach (var (name, value) in evaluation.Metrics)
        {
            done.Metrics[name] = value ?? double.NaN;
        }

        return new RunEvent { Evaluation = done };
    }
}
