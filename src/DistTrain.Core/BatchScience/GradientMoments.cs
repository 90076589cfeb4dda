namespace DistTrain.Core.BatchScience;

/// <summary>
/// What one step tells of the distribution of its samples' gradients, from the sums of its blocks (S. McCandlish et al., "An empirical model of large-batch
/// training", arXiv 1812.06162, appendix A.1, for blocks of any sizes).
/// </summary>
/// <remarks>
/// Block i is a sum s_i of gradients of weight w_i; s and W are the sums over all n blocks. With the mean gradients g_i = s_i / w_i and g = s / W
/// <code>
/// S     = (sum_i w_i |g_i|^2 - W |g|^2) / (n - 1) = (sum_i |s_i|^2 / w_i - |s|^2 / W) / (n - 1)
/// |G|^2 = |g|^2 - S / W
/// </code>
/// have no bias: E[w_i |g_i|^2] = w_i |G|^2 + tr(Sigma), E[W |g|^2] = W |G|^2 + tr(Sigma). Where weight counts tokens, those of one sequence need not be independent: S then
/// is what the blocks really vary by. Everything leaves here per sample.
/// </remarks>
/// <param name="Trace">S: the trace of the covariance of one sample's gradient. A single step's may be far off.</param>
/// <param name="Square">|G|^2: the square of the norm of the true gradient. A single step's may be negative.</param>
/// <param name="Samples">
/// Samples of the step, which it counts by in an average: the deviation of |G|^2 falls like 1 / samples where noise prevails, so that the short last batch of an epoch would
/// drown all others.
/// </param>
public readonly record struct GradientMoments(double Trace, double Square, long Samples = 1)
{
    /// <summary>The estimates of one step.</summary>
    /// <param name="blockSquares">Sum over the blocks of |block sum|^2 / weight.</param>
    /// <param name="sumSquare">|sum of all blocks|^2.</param>
    /// <param name="weight">Samples (or tokens) of all blocks.</param>
    /// <param name="blocks">Blocks that have a weight.</param>
    /// <param name="samples">Samples of all blocks.</param>
    /// <returns>The estimates; null where one block alone has a weight, or a number is not finite.</returns>
    public static GradientMoments? Of(double blockSquares, double sumSquare, long weight, long blocks, long samples)
    {
        if (blocks < 2 || weight < 1 || samples < 1 || !double.IsFinite(blockSquares) || !double.IsFinite(sumSquare))
        {
            return null;
        }

        var perWeight = (blockSquares - (sumSquare / weight)) / (blocks - 1);
        var square = (sumSquare / weight / weight) - (perWeight / weight);

        // A sample's mean gradient is that of weight / samples units.
        return new GradientMoments(perWeight * samples / weight, square, samples);
    }
}
