namespace DistTrain.PyTorch;

/// <summary>How far a step is from the reference's.</summary>
/// <param name="Loss">Of the mean loss, absolute.</param>
/// <param name="Gradient">Euclidean norm of the difference of the mean gradients over that of the reference's.</param>
internal readonly record struct Difference(double Loss, double Gradient)
{
    /// <summary>Most of <see cref="Loss"/> that is rounding.</summary>
    public const double MostLoss = 1e-5;

    /// <summary>Most of <see cref="Gradient"/> that is rounding.</summary>
    public const double MostGradient = 1e-4;

    /// <summary>Whether both are rounding.</summary>
    public bool IsSmall => Loss <= MostLoss && Gradient <= MostGradient;

    /// <summary>The difference of a loss and a gradient from the reference's.</summary>
    public static Difference Of(double loss, double[] gradient, ReferenceStep expected) =>
        new(Math.Abs(loss - expected.Loss), Relative(gradient, expected.Gradient));

    /// <summary>Euclidean norm of the difference over that of what is expected, which may be longer: a gradient ends where buffers begin.</summary>
    public static double Relative(double[] values, float[] expected)
    {
        var (apart, norm) = (0.0, 0.0);
        for (var i = 0; i < values.Length; i++)
        {
            apart += Math.Pow(values[i] - expected[i], 2);
            norm += Math.Pow(expected[i], 2);
        }

        return Math.Sqrt(apart / norm);
    }
}
