namespace DistTrain.Core.BatchScience;

/// <summary>
/// What a batch costs where <see cref="Critical"/> is the critical batch B_c (arXiv 1812.06162, equation 2.11): the steps to a given loss are S(B) = S_min (1 + B_c / B), the samples
/// E(B) = E_min (1 + B / B_c), for a learning rate that is right for the batch. The noise scale estimates B_c, here and now, to within a small factor: the model supposes
/// that the Hessian is a multiple of one.
/// </summary>
/// <param name="Critical">B_c, above 0.</param>
public readonly record struct BatchTrade(double Critical)
{
    /// <summary>S(B) / S_min: 1 for batches far above the critical one.</summary>
    public double Steps(double batch) => 1 + (Critical / batch);

    /// <summary>E(B) / E_min: 1 for batches far below the critical one.</summary>
    public double Samples(double batch) => 1 + (batch / Critical);

    /// <summary>What going from one batch to another does: steps and samples afterwards, as parts of those before.</summary>
    public (double Steps, double Samples) Change(double from, double to) => (Steps(to) / Steps(from), Samples(to) / Samples(from));

    /// <summary>Advice for people, in a sentence or two.</summary>
    /// <param name="noise">The noise scale.</param>
    /// <param name="batch">The global batch.</param>
    /// <param name="name">What the noise scale is called.</param>
    public static string Advice(NoiseScale noise, long batch, string name = "noise scale")
    {
        if (noise.Unresolved is { } reason)
        {
            return $"The {name} is not resolved: {reason}.";
        }

        var trade = new BatchTrade(noise.Value);
        var (doubled, halved) = (trade.Change(batch, 2.0 * batch), trade.Change(batch, batch / 2.0));
        var advice = $"The {name} is {NoiseScale.Text(noise.Value)} samples ({NoiseScale.Text(noise.Low)} to {NoiseScale.Text(noise.High)}); the global batch is {batch:N0}. "
            + $"Doubling it would cost {Percent(doubled.Samples - 1)} more samples and save {Percent(1 - doubled.Steps)} of the steps";
        return batch < 2
            ? advice + "."
            : advice + $", halving it would save {Percent(1 - halved.Samples)} of the samples and cost {Percent(halved.Steps - 1)} more steps.";
    }

    private static string Percent(double part) => part is > 0 and < 0.005 ? "less than 1 %" : $"{part * 100:0} %";
}
