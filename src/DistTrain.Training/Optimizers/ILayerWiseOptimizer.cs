namespace DistTrain.Training.Optimizers;

/// <summary>
/// A rule whose rate differs from parameter to parameter, by norms: a parameter is passed over twice, first to measure it whole, tile by tile in index order, then to
/// update it at the rate that follows from the sums.
/// </summary>
public interface ILayerWiseOptimizer : IFlatOptimizer
{
    /// <summary>The first pass over consecutive elements of one parameter. The optimizer's own vectors may move on here; the weights do not.</summary>
    /// <param name="offset">First element in the flat vector.</param>
    /// <param name="weights">The weights from there.</param>
    /// <param name="gradientSum">The reduced sum of gradients from there.</param>
    /// <param name="factors">With the rate of the step.</param>
    /// <returns>Sums of squares over these elements.</returns>
    LayerSquares Measure(long offset, ReadOnlySpan<float> weights, ReadOnlySpan<float> gradientSum, UpdateFactors factors);

    /// <summary>What the step's rate is multiplied by for a parameter whose squares have been added up.</summary>
    double Ratio(LayerSquares squares, UpdateFactors factors);
}

/// <summary>Sums of squares over a parameter, or a part of it, in float64.</summary>
/// <param name="Weights">Of the weights.</param>
/// <param name="Step">Of what the rule compares them with: LARS the gradient's sum, LAMB the update.</param>
public readonly record struct LayerSquares(double Weights, double Step)
{
    /// <summary>Both sums.</summary>
    public static LayerSquares operator +(LayerSquares left, LayerSquares right) => new(left.Weights + right.Weights, left.Step + right.Step);
}
