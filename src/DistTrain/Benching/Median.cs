namespace DistTrain.Benching;

/// <summary>
/// The median of paired measurements with a distribution-free 95 % interval from order statistics: the k-th smallest and k-th largest of n
/// values enclose the median with probability 1 - 2 P(Binomial(n, 1/2) below k); k is the largest for which this is at least 0.95
/// (W. J. Conover, "Practical Nonparametric Statistics", chapter 3).
/// </summary>
/// <param name="Value">The median.</param>
/// <param name="Low">Lower end of the interval; the smallest value where there are fewer than 6.</param>
/// <param name="High">Upper end.</param>
/// <param name="Count">How many pairs.</param>
internal readonly record struct Median(double Value, double Low, double High, int Count)
{
    /// <summary>Of some values, at least one.</summary>
    public static Median Of(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        var n = sorted.Length;
        ArgumentOutOfRangeException.ThrowIfZero(n, nameof(values));
        var (k, tail, term) = (0, 0.0, Math.Pow(0.5, n));
        while (k < n / 2 && 1 - 2 * (tail + term) >= 0.95)
        {
            tail += term;
            term *= (double)(n - k) / (k + 1);
            k++;
        }

        k = Math.Max(k, 1);
        return new Median((sorted[(n - 1) / 2] + sorted[n / 2]) / 2, sorted[k - 1], sorted[n - k], n);
    }

    /// <summary>As a ratio.</summary>
    public override string ToString() => $"{Value:0.000} [{Low:0.000}, {High:0.000}]";

    /// <summary>As a percentage.</summary>
    public string Percent => $"{Value:0.00} % [{Low:0.00}, {High:0.00}]";
}
