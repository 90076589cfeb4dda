using DistTrain.Core.BatchScience;

namespace DistTrain.Core.Runs;

/// <summary>What a completed operation showed, with the same bits for any workers.</summary>
/// <param name="Kind">What it was.</param>
/// <param name="Step">The step, or that after which was evaluated.</param>
/// <param name="Loss">Loss per sample (or token); NaN where it is not finite.</param>
/// <param name="Moments">Of the gradient; null where they are not measured, or there are none.</param>
public readonly record struct OperationEvidence(OperationKind Kind, long Step, double Loss, GradientMoments? Moments);
