namespace DistTrain.Core.Reduction;

/// <summary>What is folded beside the gradient, along the same tree: sums in float64, so that they too have one set of bits.</summary>
/// <param name="LossSum">Sum of the losses of all samples (or tokens).</param>
/// <param name="Weight">How many samples (or tokens).</param>
/// <param name="MetricSums">Sums of an evaluation's metrics; of a step, what the noise scale takes, where it is measured.</param>
public sealed record NodeHeader(double LossSum, long Weight, IReadOnlyList<double> MetricSums)
{
    /// <summary>Left + right, as <see cref="TreeFold{T}"/> adds.</summary>
    public static NodeHeader Add(NodeHeader left, NodeHeader right)
    {
        if (left.MetricSums.Count != right.MetricSums.Count)
        {
            throw new ArgumentException($"Headers with {left.MetricSums.Count} and {right.MetricSums.Count} metric sums cannot be added.");
        }

        return new NodeHeader(
            left.LossSum + right.LossSum,
            checked(left.Weight + right.Weight),
            left.MetricSums.Count == 0 ? [] : [.. left.MetricSums.Zip(right.MetricSums, (a, b) => a + b)]);
    }

    /// <summary>Whether two headers have the same bits; NaN equals itself.</summary>
    public bool SameBits(NodeHeader other) =>
        Bits(LossSum) == Bits(other.LossSum) && Weight == other.Weight
        && MetricSums.Select(Bits).SequenceEqual(other.MetricSums.Select(Bits));

    private static long Bits(double value) => BitConverter.DoubleToInt64Bits(value);
}
