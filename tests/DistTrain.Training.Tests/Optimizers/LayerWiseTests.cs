using DistTrain.Core.Layouts;
using DistTrain.Core.Schedules;
using DistTrain.Training.Native;
using DistTrain.Training.Optimizers;
using DistTrain.Training.Tests.Replicas;
using OptimizerOptions = DistTrain.Core.Options.OptimizerOptions;

namespace DistTrain.Training.Tests.Optimizers;

/// <summary>LARS and LAMB against the algorithms of their papers in float64, and what a replica makes of them.</summary>
[Collection(AloneInProcess.Name)]
public sealed class LayerWiseTests
{
    private const int Count = (2 * TileTable.TileSize) + 1_003;
    private const int Steps = 100;
    private const float Weight = 7;
    private const float Clip = 0.75f;

    [Theory]
    [InlineData(0.9, 0)]
    [InlineData(0.9, 0.01)]
    [InlineData(0, 0.01)]
    public void A_hundred_steps_of_Lars_follow_the_paper_in_float64(double momentum, double decay)
    {
        const double eta = 0.02;
        var (w, v) = (Array.ConvertAll(Numbers(0), x => (double)x), new double[Count]);
        for (var step = 1; step <= Steps; step++)
        {
            var g = Array.ConvertAll(Numbers(step), x => x / (double)Weight * Clip);
            var local = eta * Norm(w) / (Norm(g) + (decay * Norm(w)));
            for (var i = 0; i < Count; i++)
            {
                v[i] = (momentum * v[i]) + (Rate(step) * local * (g[i] + (decay * w[i])));
                w[i] -= v[i];
            }
        }

        Assert.InRange(RelativeError(Train(new OptimizerOptions { Name = "lars", Momentum = momentum, TrustCoefficient = eta }, decay), w), 0, 1e-5);
    }

    [Theory]
    [InlineData(0.9, 0.999, 0)]
    [InlineData(0.9, 0.999, 0.01)]
    [InlineData(0.8, 0.95, 0.1)]
    public void A_hundred_steps_of_Lamb_follow_the_paper_in_float64(double beta1, double beta2, double decay)
    {
        const double epsilon = 1e-6;
        var (w, m, v) = (Array.ConvertAll(Numbers(0), x => (double)x), new double[Count], new double[Count]);
        var r = new double[Count];
        for (var step = 1; step <= Steps; step++)
        {
            var g = Array.ConvertAll(Numbers(step), x => x / (double)Weight * Clip);
            for (var i = 0; i < Count; i++)
            {
                m[i] = (beta1 * m[i]) + ((1 - beta1) * g[i]);
                v[i] = (beta2 * v[i]) + ((1 - beta2) * g[i] * g[i]);
                var (mean, square) = (m[i] / (1 - Math.Pow(beta1, step)), v[i] / (1 - Math.Pow(beta2, step)));
                r[i] = (mean / (Math.Sqrt(square) + epsilon)) + (decay * w[i]);
            }

            var ratio = Norm(w) / Norm(r);
            for (var i = 0; i < Count; i++)
            {
                w[i] -= Rate(step) * ratio * r[i];
            }
        }

        var options = new OptimizerOptions { Name = "lamb", Beta1 = beta1, Beta2 = beta2, Epsilon = epsilon };
        Assert.InRange(RelativeError(Train(options, decay), w), 0, 1e-5);
    }

    [Theory]
    [InlineData("lars")]
    [InlineData("lamb")]
    public void Elements_in_vectors_and_one_by_one_have_the_same_bits(string name)
    {
        var whole = At(TileTable.TileSize);
        Assert.Equal(whole, At(1));
        Assert.Equal(whole, At(13));

        // The norms are those of tiles and no piece has one, so the rate is the step's.
        uint[] At(int piece) => [.. Train(new OptimizerOptions { Name = name }, 0.01, piece, usesRatio: false).Select(BitConverter.SingleToUInt32Bits)];
    }

    [Fact]
    public void The_ratio_is_1_where_a_norm_is_0()
    {
        var factors = new UpdateFactors(Weight, Clip, 0.1f, 0);
        using var lars = new Lars(new OptimizerOptions { TrustCoefficient = 0.5 }, 1);
        using var lamb = new Lamb(new OptimizerOptions(), 1);

        Assert.Equal(1, lars.Ratio(new LayerSquares(0, 4), factors));
        Assert.Equal(1, lars.Ratio(new LayerSquares(4, 0), factors));
        Assert.Equal(0.5 * 2 / (3 / 7.0 * 0.75), lars.Ratio(new LayerSquares(4, 9), factors), 1e-6);
        Assert.Equal(1, lamb.Ratio(new LayerSquares(0, 4), factors));
        Assert.Equal(1, lamb.Ratio(new LayerSquares(4, 0), factors));
        Assert.Equal(2 / 3.0, lamb.Ratio(new LayerSquares(4, 9), factors), 1e-12);
    }

    [Fact]
    public void What_they_keep_is_state()
    {
        using var lars = new Lars(new OptimizerOptions(), 5);
        using var lamb = new Lamb(new OptimizerOptions(), 5);
        lamb.BeginStep(Now(new OptimizerOptions(), 1));
        using var resumed = new Lamb(new OptimizerOptions(), 5) { Scalars = lamb.Scalars };

        Assert.Equal(["momentum"], lars.Vectors.Select(v => v.Name));
        Assert.Equal(["mean", "square"], lamb.Vectors.Select(v => v.Name));
        Assert.Equal(lamb.Scalars, resumed.Scalars);
        Assert.Equal(0.9, lamb.Scalars["beta1Power"]);
    }

    [Fact]
    public void A_replica_scales_the_rate_of_matrices_and_leaves_that_of_biases()
    {
        const double eta = 0.03, rate = 0.5;
        using var bench = new Bench(Bench.Pattern(), "optimizer.name=lars", "optimizer.momentum=0", $"optimizer.trustCoefficient={eta}");
        var before = bench.Replica.Layout.Slots.ToDictionary(s => s.Name, s => bench.Weights(s.Name));
        var reduced = bench.Reduce(bench.Operation());
        Assert.False(bench.Apply(reduced, rate).Skipped);

        Assert.Contains(bench.Replica.Layout.Slots, s => s.Shape.Count == 1);
        foreach (var slot in bench.Replica.Layout.Slots)
        {
            var g = Array.ConvertAll(reduced.ToHost().Span(slot.Offset, (int)slot.Count).ToArray(), x => (double)x / reduced.Header.Weight);
            var w = Array.ConvertAll(before[slot.Name], x => (double)x);
            var local = slot.Shape.Count == 1 ? 1 : eta * Norm(w) / Norm(g);
            Assert.InRange(RelativeError(bench.Weights(slot.Name), [.. w.Zip(g, (x, d) => x - (rate * local * d))]), 0, 1e-6);
        }
    }

    private static float[] Train(OptimizerOptions options, double decay, int piece = TileTable.TileSize, bool usesRatio = true)
    {
        using var weights = new NativeVector(Count);
        Numbers(0).CopyTo(weights.Span(0, Count));
        using var rule = (ILayerWiseOptimizer)FlatOptimizers.Create(options, Count);
        for (var step = 1; step <= Steps; step++)
        {
            var (sum, factors, squares) = (Numbers(step), new UpdateFactors(Weight, Clip, Rate(step), (float)decay), default(LayerSquares));
            rule.BeginStep(Now(options, step));
            for (var at = 0; at < Count; at += piece)
            {
                squares += rule.Measure(at, weights.Span(at, Math.Min(piece, Count - at)), sum.AsSpan(at, Math.Min(piece, Count - at)), factors);
            }

            factors = usesRatio ? factors with { Rate = (float)(factors.Rate * rule.Ratio(squares, factors)) } : factors;
            for (var at = 0; at < Count; at += piece)
            {
                rule.Update(at, weights.Span(at, Math.Min(piece, Count - at)), sum.AsSpan(at, Math.Min(piece, Count - at)), factors);
            }
        }

        return weights.Span(0, Count).ToArray();
    }

    /// <summary>Initial weights for step 0, sums of gradients for the others.</summary>
    private static float[] Numbers(int step)
    {
        var random = new Random(step);
        return [.. Enumerable.Range(0, Count).Select(_ => (random.NextSingle() - 0.5f) * (step == 0 ? 1 : Weight))];
    }

    private static StepHyperparameters Now(OptimizerOptions options, int step) => new(Rate(step), options.Beta1, options.Beta2, options.Epsilon);

    private static float Rate(int step) => 0.1f / MathF.Sqrt(step);

    private static double Norm(double[] values) => Math.Sqrt(values.Sum(x => x * x));

    private static double RelativeError(float[] actual, double[] expected)
    {
        var difference = actual.Zip(expected, (a, e) => (a - e) * (a - e)).Sum();
        return Math.Sqrt(difference / expected.Sum(e => e * e));
    }
}
