using DistTrain.Core.BatchScience;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Tests.BatchScience;

/// <summary>S and |G|^2 of one step against definitions and against a population that is known.</summary>
public sealed class GradientMomentsTests
{
    [Fact]
    public void Blocks_of_one_size_give_the_papers_two_sizes()
    {
        // Equation A.2 of arXiv 1812.06162 with B_small the block and B_big the step.
        double[][] means = [[1, 2], [3, -1], [0.5, 0], [-2, 4]];
        const int size = 5;
        var small = means.Average(g => g.Sum(x => x * x));
        var big = Enumerable.Range(0, 2).Sum(d => Math.Pow(means.Average(g => g[d]), 2));
        var (bigSize, smallSize) = (4.0 * size, (double)size);
        var square = ((bigSize * big) - (smallSize * small)) / (bigSize - smallSize);
        var trace = (small - big) / ((1 / smallSize) - (1 / bigSize));

        var moments = GradientMoments.Of(size * means.Sum(g => g.Sum(x => x * x)), bigSize * bigSize * big, 20, 4, 20)!.Value;

        Assert.Equal(trace, moments.Trace, 1e-12);
        Assert.Equal(square, moments.Square, 1e-12);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Unequal_blocks_have_no_bias_and_everything_is_per_sample(int unitsPerSample)
    {
        var population = new Population(20, trace: 30, square: 0.5);
        var random = new CounterRandom(5);
        int[] weights = [8, 4, 4, 12, 0, 28, 4];
        var (trace, square, steps) = (0.0, 0.0, 20_000);
        for (var step = 0; step < steps; step++)
        {
            var moments = population.Step(weights, ref random, unitsPerSample)!.Value;
            trace += moments.Trace / steps;
            square += moments.Square / steps;
        }

        // A step of 60 units has a relative deviation of S of about a half, of |G|^2 of about 2: 20,000 of them leave 0.4 and 1.4 percent.
        Assert.InRange(trace, 30 * 0.985, 30 * 1.015);
        Assert.InRange(square, 0.5 * 0.95, 0.5 * 1.05);
    }

    [Fact]
    public void A_step_of_one_block_or_of_no_number_has_none()
    {
        Assert.Null(GradientMoments.Of(1, 1, 10, 1, 10));
        Assert.Null(GradientMoments.Of(0, 0, 0, 0, 10));
        Assert.Null(GradientMoments.Of(double.NaN, 1, 10, 2, 10));
        Assert.Null(GradientMoments.Of(1, double.PositiveInfinity, 10, 2, 10));
    }
}
