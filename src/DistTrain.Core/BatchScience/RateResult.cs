namespace DistTrain.Core.BatchScience;

/// <summary>The runs of one batch at one rate, which differ by their seeds only.</summary>
/// <param name="Rate">The rate.</param>
/// <param name="Runs">The runs, at least one.</param>
/// <param name="Readings">When each of them reached the target; null where it did not, or has diverged.</param>
internal sealed record RateResult(double Rate, IReadOnlyList<CellOutcome> Runs, IReadOnlyList<TargetReading?> Readings)
{
    /// <summary>Reads runs.</summary>
    public static RateResult Of(double rate, IReadOnlyList<CellOutcome> runs, double target) => new(rate, runs, [.. runs.Select(r => r.ReadingAt(target))]);

    /// <summary>When they reached the target, in the mean; null where one did not.</summary>
    public TargetReading? Mean => MeanOf(Readings);

    /// <summary>The validation loss that all of them have reached.</summary>
    public double BestLoss => Runs.Max(r => r.BestLoss);

    /// <summary>The run in the middle, which stands for them.</summary>
    public CellOutcome Middle =>
        Runs.Zip(Readings).OrderBy(r => r.Second?.Samples ?? double.PositiveInfinity).ThenBy(r => r.First.BestLoss).ElementAt((Runs.Count - 1) / 2).First;

    /// <summary>The geometric mean, as it is logarithms that a law is fitted to; null where one is not there.</summary>
    public static TargetReading? MeanOf(IReadOnlyList<TargetReading?> readings)
    {
        if (readings.Count == 1 || readings.Any(r => r is null))
        {
            return readings.Count == 1 ? readings[0] : null;
        }

        return new TargetReading(Mean(r => Math.Log(r.Steps)), Mean(r => Math.Log(r.Samples)), Math.Sqrt(readings.Sum(r => r!.Value.Doubt * r.Value.Doubt)) / readings.Count);

        double Mean(Func<TargetReading, double> log) => Math.Exp(readings.Average(r => log(r!.Value)));
    }
}
