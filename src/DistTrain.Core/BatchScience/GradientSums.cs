namespace DistTrain.Core.BatchScience;

/// <summary>What a step's blocks add up to, for <see cref="GradientMoments"/>: the first two travel in the nodes' headers, beside the gradient, the third is the reduced sum's own.</summary>
/// <param name="Blocks">Blocks that have a weight.</param>
/// <param name="BlockSquares">Sum over the blocks of |block sum|^2 / weight.</param>
/// <param name="SumSquare">|sum of all blocks|^2.</param>
public sealed record GradientSums(long Blocks, double BlockSquares, double SumSquare)
{
    /// <summary>The estimates.</summary>
    /// <param name="weight">Samples (or tokens) of the step.</param>
    /// <param name="samples">Its samples.</param>
    public GradientMoments? Moments(long weight, long samples) => GradientMoments.Of(BlockSquares, SumSquare, weight, Blocks, samples);
}
