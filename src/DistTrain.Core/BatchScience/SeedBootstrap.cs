using DistTrain.Core.Numerics;

namespace DistTrain.Core.BatchScience;

/// <summary>
/// What other seeds would have made of a fit: the runs of each batch and rate are drawn anew from those that there are, the best rate of each batch is chosen anew, and the law is fitted anew
/// (bootstrap; B. Efron, R. Tibshirani, "An introduction to the bootstrap", 1993, chapter 13). So the choice of the rate, which takes what chance favoured, is in the interval, too.
/// </summary>
/// <remarks>Of n runs a drawn mean spreads less than that of n new ones would, by the root of (n - 1) / n: what it differs is stretched by as much.</remarks>
internal static class SeedBootstrap
{
    private const int Resamples = 400;
    private const double Tail = 0.025;

    /// <summary>A fit with intervals that contain both its own and those of other seeds. Where there is only one seed it is the fit that it was.</summary>
    /// <param name="fit">The fit through the means.</param>
    /// <param name="batches">Of each batch its rates.</param>
    public static BatchFit Widen(BatchFit fit, IReadOnlyList<IReadOnlyList<RateResult>> batches)
    {
        var seeds = batches.SelectMany(b => b).Min(r => r.Runs.Count);
        if (seeds < 2)
        {
            return fit;
        }

        var random = new CounterRandom(Hash64.Combine((ulong)batches.Count, (ulong)seeds));
        var laws = new List<(double Critical, double Steps, double Samples)>();
        for (var resample = 0; resample < Resamples; resample++)
        {
            var points = new List<BatchPoint>();
            foreach (var rates in batches)
            {
                if (Draw(rates, ref random) is { } drawn)
                {
                    points.Add(new BatchPoint(drawn.Steps, drawn.Samples, drawn.Doubt));
                }
            }

            if (BatchFit.Best(points) is { } law)
            {
                laws.Add(law);
            }
        }

        var stretch = Math.Sqrt(seeds / (seeds - 1.0));
        return laws.Count == 0 ? fit : fit.Widened(
            Interval(fit.CriticalBatch.Value, laws.Select(l => l.Critical)),
            Interval(fit.LeastSteps.Value, laws.Select(l => l.Steps)),
            Interval(fit.LeastSamples.Value, laws.Select(l => l.Samples)));

        // Infinite logarithms are no bounds.
        (double Low, double High) Interval(double value, IEnumerable<double> logs)
        {
            var centre = Math.Log(value);
            var sorted = logs.Select(l => centre + (stretch * (l - centre))).Order().ToList();
            var outside = (int)(sorted.Count * Tail);
            return (Math.Exp(sorted[outside]), Math.Exp(sorted[sorted.Count - 1 - outside]));
        }
    }

    /// <summary>The best rate of a batch, by runs that are drawn; null where no rate got there.</summary>
    private static TargetReading? Draw(IReadOnlyList<RateResult> rates, ref CounterRandom random)
    {
        TargetReading? best = null;
        foreach (var rate in rates)
        {
            var drawn = new TargetReading?[rate.Readings.Count];
            for (var i = 0; i < drawn.Length; i++)
            {
                drawn[i] = rate.Readings[random.Next(drawn.Length)];
            }

            if (RateResult.MeanOf(drawn) is { } mean && !(mean.Samples >= best?.Samples))
            {
                best = mean;
            }
        }

        return best;
    }
}
