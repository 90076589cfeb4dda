using DistTrain.Core.BatchScience;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Tests.BatchScience;

/// <summary>AdaScale's gain against algorithm 1 of arXiv 2007.05105, written from the paper, in float64.</summary>
public sealed class AdaScaleTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(8)]
    [InlineData(32)]
    public void A_hundred_steps_have_the_gains_of_the_paper(int scale)
    {
        const int reference = 16, dimensions = 30;
        const double theta = 0.98;
        var random = new CounterRandom((ulong)scale);
        var (variance, square, norm, tau, moments) = (0.0, 0.0, 0.0, 0.0, new List<GradientMoments>());
        var (ownTau, gradient, sum) = (0.0, new double[dimensions], new double[dimensions]);
        for (var step = 0; step < 100; step++)
        {
            // The paper: S gradients of batches of the reference; sigma^2 and mu^2 from their norms and the norm of their mean (section 3.4).
            var squares = 0.0;
            Array.Clear(sum);
            for (var batch = 0; batch < scale; batch++)
            {
                for (var d = 0; d < dimensions; d++)
                {
                    gradient[d] = 0.3 / (1 + (step * 0.05)) + random.NextNormal();
                    sum[d] += gradient[d];
                    squares += gradient[d] * gradient[d];
                }
            }

            var mean = sum.Sum(x => x / scale * (x / scale));
            var sigma = (squares / (scale - 1)) - (scale / (scale - 1.0) * mean);
            var mu = mean - (sigma / scale);
            (variance, square, norm) = ((theta * variance) + ((1 - theta) * sigma), (theta * square) + ((1 - theta) * mu), (theta * norm) + 1 - theta);
            var (s, m) = (Math.Max(variance / norm, 0), Math.Max(square / norm, 0));
            tau += (s + m) / ((s / scale) + m);

            // Here: sums of blocks of 16 samples.
            moments.Add(GradientMoments.Of(squares * reference, sum.Sum(x => x * x) * reference * reference, reference * scale, scale, reference * scale)!.Value);
            var average = NoiseScale.Of(moments, 1).Average;
            average = moments.Count < NoiseScale.FewestSteps ? Average(moments, theta) : average;
            ownTau += AdaScale.Gain(average, reference, reference * scale);
        }

        Assert.InRange(tau, 100.0, 100.0 * scale);
        Assert.Equal(tau, ownTau, tau * 1e-5);
    }

    [Fact]
    public void The_gain_lies_between_1_and_the_scale()
    {
        Assert.Equal(8, AdaScale.Gain(new GradientMoments(5, 0), 64, 512));
        Assert.Equal(8, AdaScale.Gain(new GradientMoments(5, -3), 64, 512));
        Assert.Equal(1, AdaScale.Gain(new GradientMoments(0, 2), 64, 512));
        Assert.Equal(1, AdaScale.Gain(new GradientMoments(-1, 2), 64, 512));
        Assert.Equal(1, AdaScale.Gain(default, 64, 512));
        Assert.Equal(0.5, AdaScale.Gain(new GradientMoments(5, 0), 64, 32));
        Assert.Equal(1, AdaScale.Gain(new GradientMoments(5, 0.1), 64, 64));

        // A noise scale of the reference batch itself: (1 + 1) / (1 / 4 + 1).
        Assert.Equal(1.6, AdaScale.Gain(new GradientMoments(64, 1), 64, 256), 1e-15);
    }

    private static GradientMoments Average(List<GradientMoments> moments, double theta)
    {
        var weights = moments.Select((_, i) => Math.Pow(theta, moments.Count - 1 - i)).ToArray();
        return new GradientMoments(
            moments.Zip(weights, (m, w) => m.Trace * w).Sum() / weights.Sum(), moments.Zip(weights, (m, w) => m.Square * w).Sum() / weights.Sum());
    }
}
