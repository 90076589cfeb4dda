using DistTrain.Core.Batches;
using DistTrain.Core.Sampling;

namespace DistTrain.Core.Runs;

/// <summary>What an operation does with its samples.</summary>
public enum OperationKind
{
    /// <summary>One optimizer step.</summary>
    Train,

    /// <summary>Loss and metrics of validation data: cut up, spread and folded like a step, without update.</summary>
    Evaluate,
}

/// <summary>One thing all workers do together. Operations share one number sequence, from 1.</summary>
/// <param name="Number">Its place in the run.</param>
/// <param name="Kind">What it does.</param>
/// <param name="Step">The step it computes, from 1, or after which it evaluates.</param>
/// <param name="Samples">Positions of the epoch, or of the validation data (epoch as of the step).</param>
/// <param name="Geometry">How the samples are cut up.</param>
/// <param name="LearningRate">The rate of the step; 0 for an evaluation.</param>
/// <param name="WritesCheckpoint">Whether state(Step) is written after it.</param>
/// <param name="IsLast">Whether nothing follows.</param>
public sealed record Operation(
    ulong Number,
    OperationKind Kind,
    long Step,
    SampleRange Samples,
    BatchGeometry Geometry,
    double LearningRate,
    bool WritesCheckpoint,
    bool IsLast)
{
    /// <summary>How many steps of the reference batch it is worth, where its rate follows that; else null.</summary>
    public double? Gain { get; init; }

    /// <summary>Its micro-batches and blocks.</summary>
    public BatchPlan Batches => new(Samples.Count, Geometry);
}
