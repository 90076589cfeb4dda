using DistTrain.Core.Numerics;

namespace DistTrain.Core.BatchScience;

/// <summary>
/// The noise scale B_simple = S / |G|^2 (arXiv 1812.06162): the batch whose mean gradient is half signal, half noise, and with that the scale on which a larger
/// batch stops paying. A pure function of the moments of the last steps, which it follows late where they change fast, so that it has the same bits for any workers, and after any restart.
/// </summary>
/// <remarks>
/// S and |G|^2 are averaged separately, by samples, with weights that fade by <see cref="Fade"/> a step (an exponential moving average, its bias at the start corrected), and
/// only then divided: an average of ratios would be biased, and a step's |G|^2 may be negative. The interval is of 95 %, by a circular block bootstrap over these
/// steps (D. Politis, J. Romano 1992): blocks, because neighbouring steps see nearly the same weights. What a resampled average differs from that of the window is added to the
/// estimates of S and |G|^2 alike, before the division, and spread by what resampling itself loses.
/// </remarks>
public sealed record NoiseScale
{
    /// <summary>How many steps are looked at; the oldest counts by half a percent of the newest.</summary>
    public const int Window = 256;

    /// <summary>Steps below which nothing is said.</summary>
    public const int FewestSteps = 20;

    /// <summary>What a step counts for, of what the step after it does.</summary>
    public const double Fade = 0.98;

    /// <summary>The bounds of an interval may be so many times apart. Beyond, it says nothing that a batch could be chosen by.</summary>
    private const double WidestFactor = 16;
    private const int Resamples = 400;
    private const double Tail = 0.025;

    private NoiseScale(GradientMoments average, double low, double high, string? unresolved)
    {
        (Average, Low, High, Unresolved) = (average, low, high, unresolved);
    }

    /// <summary>The averages of S and |G|^2.</summary>
    public GradientMoments Average { get; }

    /// <summary>B_simple in samples. Means something only where it is resolved.</summary>
    public double Value => Average.Trace / Average.Square;

    /// <summary>The lower bound of the interval of 95 %; 0 where there is none.</summary>
    public double Low { get; }

    /// <summary>Its upper bound; infinite where |G|^2 may as well be 0.</summary>
    public double High { get; }

    /// <summary>Why it is not resolved, in a sentence without its end; null where it is.</summary>
    public string? Unresolved { get; }

    /// <summary>Estimates it.</summary>
    /// <param name="recent">The moments of the last steps that have any, by step; more than <see cref="Window"/> are not looked at.</param>
    /// <param name="key">Of the random numbers, such as a hash of seed and step.</param>
    public static NoiseScale Of(IReadOnlyList<GradientMoments> recent, ulong key)
    {
        var count = Math.Min(recent.Count, Window);
        if (count < FewestSteps)
        {
            return new NoiseScale(default, 0, double.PositiveInfinity, $"{count} of the {FewestSteps} steps it takes are done");
        }

        var steps = new GradientMoments[count];
        for (var i = 0; i < count; i++)
        {
            steps[i] = recent[recent.Count - count + i];
        }

        var weights = Weights(count);
        var average = Mean(steps, weights);
        if (!(average.Square > 0 && average.Trace > 0))
        {
            return new NoiseScale(
                average, 0, double.PositiveInfinity,
                average.Trace > 0 ? "the gradient is lost in the noise of batches this small" : "the blocks of a step do not differ");
        }

        var (low, high) = Interval(steps, weights, average, new CounterRandom(key));
        return new NoiseScale(
            average, low, high,
            high <= WidestFactor * low ? null : double.IsFinite(high) ? $"it may be anything from {Text(low)} to {Text(high)} samples" : $"it may be anything above {Text(low)} samples");
    }

    /// <summary>A number of samples as a person reads it: three digits.</summary>
    internal static string Text(double samples)
    {
        var unit = samples < 1 ? 1 : Math.Pow(10, Math.Max(0, Math.Floor(Math.Log10(samples)) - 2));
        return samples < 10 ? samples.ToString("0.##") : (Math.Round(samples / unit) * unit).ToString("N0");
    }

    /// <summary>The newest step last.</summary>
    private static double[] Weights(int count)
    {
        var (weights, weight) = (new double[count], 1.0);
        for (var i = count - 1; i >= 0; i--)
        {
            weights[i] = weight;
            weight *= Fade;
        }

        return weights;
    }

    private static GradientMoments Mean(ReadOnlySpan<GradientMoments> steps, ReadOnlySpan<double> weights)
    {
        var (trace, square, sum) = (0.0, 0.0, 0.0);
        for (var i = 0; i < steps.Length; i++)
        {
            var weight = weights[i] * steps[i].Samples;
            trace += weight * steps[i].Trace;
            square += weight * steps[i].Square;
            sum += weight;
        }

        return new GradientMoments(trace / sum, square / sum);
    }

    private static (double Low, double High) Interval(GradientMoments[] steps, double[] weights, GradientMoments average, CounterRandom random)
    {
        var count = steps.Length;
        var length = Math.Max(1, (int)Math.Cbrt(count));

        // A window's own mean is nearer to its steps than the truth is, by as many steps as a block has.
        var spread = Math.Sqrt((double)count / (count - length));
        var flat = new double[count];
        Array.Fill(flat, 1);
        var centre = Mean(steps, flat);
        var ratios = new double[Resamples];
        var drawn = new GradientMoments[count];
        for (var resample = 0; resample < Resamples; resample++)
        {
            for (var at = 0; at < count;)
            {
                var from = random.Next(count);
                for (var end = Math.Min(count, at + length); at < end; at++, from++)
                {
                    drawn[at] = steps[from % count];
                }
            }

            var mean = Mean(drawn, weights);
            var trace = average.Trace + (spread * (mean.Trace - centre.Trace));
            var square = average.Square + (spread * (mean.Square - centre.Square));
            ratios[resample] = square > 0 ? Math.Max(0, trace / square) : double.PositiveInfinity;
        }

        Array.Sort(ratios);
        var outside = (int)(Resamples * Tail);
        return (ratios[outside], ratios[Resamples - 1 - outside]);
    }
}
