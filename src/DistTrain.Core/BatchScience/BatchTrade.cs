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
    /// <param name="dataSize">Samples in the training data: no step holds more.</param>
    /// <param name="name">What the noise scale is called.</param>
    public static string Advice(NoiseScale noise, long batch, long dataSize, string name = "noise scale")
    {
        if (noise.Unresolved is { } reason)
        {
            return $"The {name} is not resolved: {reason}.";
        }

        var (step, trade) = (Math.Min(batch, dataSize), new BatchTrade(noise.Value));
        var size = step < dataSize ? $"the global batch is {batch:N0}"
            : step == batch ? $"the global batch is {batch:N0}, all of the data"
            : $"the global batch is {batch:N0}, and a step holds all of the data, {Counted.Of(dataSize, "sample")}";
        List<string> changes = [];
        if (step < dataSize)
        {
            var (larger, what) = step <= dataSize / 2 ? (2 * step, "doubling it") : (dataSize, $"raising it to all {dataSize:N0} samples of the data");
            var (steps, samples) = trade.Change(step, larger);
            changes.Add($"{what} would cost {Percent(samples - 1)} more samples and save {Percent(1 - steps)} of the steps");
        }

        if (step >= 2)
        {
            var (steps, samples) = trade.Change(step, step / 2.0);
            changes.Add($"{(step < batch ? $"a global batch of {step / 2:N0}" : "halving it")} would save {Percent(1 - samples)} of the samples and cost {Percent(steps - 1)} more steps");
        }

        var told = string.Join(", ", changes);
        return $"The {name} is {NoiseScale.Text(noise.Value)} samples ({NoiseScale.Text(noise.Low)} to {NoiseScale.Text(noise.High)}); {size}.{(told.Length == 0 ? "" : $" {char.ToUpperInvariant(told[0])}{told[1..]}.")}";
    }

    private static string Percent(double part) => part is > 0 and < 0.005 ? "less than 1 %" : $"{part * 100:0} %";
}
