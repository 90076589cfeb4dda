using DistTrain.Core.BatchScience;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Tests.BatchScience;

/// <summary>The noise scale of a population whose own is known.</summary>
public sealed class NoiseScaleTests
{
    private const int Trials = 200;
    private const double Trace = 40;
    private static readonly int[] Unequal = [3, 3, 4, 3, 3, 4, 3, 3, 4, 3, 3, 4];
    private static readonly int[] Four = [10, 10, 10, 10];

    /// <summary>The noise scale in units of the batch, the steps, the blocks.</summary>
    public static TheoryData<double, int, int[]> Populations => new()
    {
        { 1, 20, Unequal }, { 0.5, 60, Unequal }, { 1, 160, Unequal }, { 3, 160, Unequal }, { 0.25, 160, Four }, { 2, 256, Four },
    };

    [Theory]
    [MemberData(nameof(Populations))]
    public void The_interval_of_95_percent_holds_the_true_noise_scale_and_is_no_wider_than_a_factor_of_2(double multiple, int steps, int[] blocks)
    {
        var truth = multiple * blocks.Sum();
        var population = new Population(64, Trace, Trace / truth);
        var (inside, widths) = (0, new List<double>());
        for (var trial = 0; trial < Trials; trial++)
        {
            var noise = NoiseScale.Of(Draw(population, steps, blocks, (ulong)trial), (ulong)trial);
            inside += noise.Low <= truth && truth <= noise.High ? 1 : 0;
            widths.Add(noise.High / noise.Low);
        }

        widths.Sort();
        TestContext.Current.TestOutputHelper?.WriteLine($"noise scale {multiple} batches, {steps} steps: inside {inside} of {Trials}, median width {widths[Trials / 2]:0.000}");
        Assert.True(inside >= 0.9 * Trials && inside < Trials, $"{inside} of {Trials} intervals hold the noise scale of {truth}: they are too narrow, or say nothing.");
        Assert.InRange(widths[Trials / 2], 1, 2);
    }

    [Fact]
    public void It_is_the_ratio_of_averages_of_a_bias_corrected_moving_average()
    {
        var moments = Draw(new Population(64, Trace, 1), 40, Unequal, 3);
        var (trace, square, norm) = (0.0, 0.0, 0.0);
        foreach (var step in moments)
        {
            trace = (NoiseScale.Fade * trace) + ((1 - NoiseScale.Fade) * step.Trace);
            square = (NoiseScale.Fade * square) + ((1 - NoiseScale.Fade) * step.Square);
            norm = (NoiseScale.Fade * norm) + (1 - NoiseScale.Fade);
        }

        var noise = NoiseScale.Of(moments, 1);
        Assert.Equal(trace / norm, noise.Average.Trace, 1e-9);
        Assert.Equal(square / norm, noise.Average.Square, 1e-9);
        Assert.Equal(trace / square, noise.Value, 1e-9);
        Assert.InRange(noise.Value, noise.Low, noise.High);
    }

    [Fact]
    public void Short_batches_among_the_others_do_not_drown_them()
    {
        // Every tenth step is a twentieth of the others, as at the end of a small epoch.
        var truth = 2.0 * Four.Sum();
        var population = new Population(64, Trace, Trace / truth);
        var (inside, widths, random) = (0, new List<double>(), new CounterRandom(11));
        for (var trial = 0; trial < Trials; trial++)
        {
            var moments = new GradientMoments[200];
            for (var step = 0; step < moments.Length; step++)
            {
                moments[step] = population.Step(step % 10 == 9 ? [1, 1] : Four, ref random)!.Value;
            }

            var noise = NoiseScale.Of(moments, (ulong)trial);
            inside += noise.Low <= truth && truth <= noise.High ? 1 : 0;
            widths.Add(noise.High / noise.Low);
        }

        widths.Sort();
        Assert.InRange(inside, 0.9 * Trials, Trials - 1);
        Assert.InRange(widths[Trials / 2], 1, 2);
    }

    [Fact]
    public void It_depends_on_the_window_and_the_key_and_nothing_else()
    {
        var moments = Draw(new Population(64, Trace, 1), 300, Unequal, 4);
        var (all, last) = (NoiseScale.Of(moments, 9), NoiseScale.Of(moments[^NoiseScale.Window..], 9));

        Assert.Equal((all.Average, all.Low, all.High), (last.Average, last.Low, last.High));
        Assert.NotEqual(all.Low, NoiseScale.Of(moments, 10).Low);
        Assert.NotEqual(all.Value, NoiseScale.Of(moments[..^1], 9).Value);
    }

    [Fact]
    public void A_noise_scale_far_above_the_batch_is_not_resolved()
    {
        var batch = Unequal.Sum();
        var open = 0;
        for (var trial = 0; trial < 20; trial++)
        {
            var noise = NoiseScale.Of(Draw(new Population(8, Trace, Trace / (500.0 * batch)), 60, Unequal, (ulong)trial), 1);
            open += noise.Unresolved is null ? 0 : 1;
        }

        Assert.InRange(open, 15, 20);
    }

    [Fact]
    public void What_is_not_resolved_says_why()
    {
        Assert.Equal("12 of the 20 steps it takes are done", NoiseScale.Of(Constant(12, 1, 1), 1).Unresolved);
        Assert.Equal("the gradient is lost in the noise of batches this small", NoiseScale.Of(Constant(20, 1, -1), 1).Unresolved);
        Assert.Equal("the blocks of a step do not differ", NoiseScale.Of(Constant(20, 0, 1), 1).Unresolved);
        var wide = NoiseScale.Of([.. Enumerable.Range(0, 40).Select(i => new GradientMoments(40, i % 2 == 0 ? 9 : -8.5))], 1);
        Assert.Matches("^it may be anything above [0-9.,]+ samples$", wide.Unresolved);
    }

    private static GradientMoments[] Constant(int steps, double trace, double square) => [.. Enumerable.Repeat(new GradientMoments(trace, square), steps)];

    private static GradientMoments[] Draw(Population population, int steps, int[] blocks, ulong seed)
    {
        var random = new CounterRandom(Hash64.Combine(7, seed));
        var moments = new GradientMoments[steps];
        for (var step = 0; step < steps; step++)
        {
            moments[step] = population.Step(blocks, ref random)!.Value;
        }

        return moments;
    }
}
