using DistTrain.Core.Options;
using DistTrain.Core.Schedules;
using DistTrain.Training.Native;
using DistTrain.Training.Optimizers;
using OptimizerOptions = DistTrain.Core.Options.OptimizerOptions;

namespace DistTrain.Training.Tests.Optimizers;

/// <summary>
/// A hundred steps whose batch moves between a quarter of the reference and 16 times as much, against the published rules in float64, written out here a second time. The rate of the
/// schedule moves, too.
/// </summary>
[Collection(AloneInProcess.Name)]
public sealed class ScalingTests
{
    private const int Count = 1_003;
    private const int Steps = 100;
    private const long Reference = 128;
    private const double Decay = 0.01;
    private const double Beta1 = 0.98;
    private const double Beta2 = 0.999;
    private const double Epsilon = 1e-3;
    private const double Momentum = 0.9;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Adam_and_the_root_rule_of_Malladi(bool decoupled)
    {
        var w = Array.ConvertAll(Numbers(0), x => (double)x);
        var (m, v, power1, power2) = (new double[Count], new double[Count], 1.0, 1.0);
        for (var step = 1; step <= Steps; step++)
        {
            var (g, k) = (Numbers(step), Batch(step) / (double)Reference);
            var (b1, b2, rate, epsilon) = (1 - (k * (1 - Beta1)), 1 - (k * (1 - Beta2)), Math.Sqrt(k) * Rate(step), Epsilon / Math.Sqrt(k));
            power1 *= b1;
            power2 *= b2;
            for (var i = 0; i < Count; i++)
            {
                var d = g[i] + (decoupled ? 0 : Decay * w[i]);
                m[i] = (b1 * m[i]) + ((1 - b1) * d);
                v[i] = (b2 * v[i]) + ((1 - b2) * d * d);
                w[i] = (w[i] * (decoupled ? 1 - (rate * Decay) : 1)) - (rate * (m[i] / (1 - power1)) / (Math.Sqrt(v[i] / (1 - power2)) + epsilon));
            }
        }

        Assert.InRange(RelativeError(Train("sqrt", decoupled ? "adamw" : "adam"), w), 0, 1e-5);
        Assert.InRange(RelativeError(Train("none", decoupled ? "adamw" : "adam"), w), 1e-3, 1);
    }

    /// <summary>In the form whose velocity has the rate in it, v = momentum * (rate / rate before) * v + rate * d: where the correction is missing, that is another rule.</summary>
    [Theory]
    [InlineData("linear", true)]
    [InlineData("linear", false)]
    [InlineData("sqrt", true)]
    public void Sgd_and_Goyals_linear_rule_with_momentum_correction(string scaling, bool corrects)
    {
        var (w, v, before) = (Array.ConvertAll(Numbers(0), x => (double)x), new double[Count], 0.0);
        for (var step = 1; step <= Steps; step++)
        {
            var (g, k) = (Numbers(step), Batch(step) / (double)Reference);
            var rate = (scaling == "linear" ? k : Math.Sqrt(k)) * Rate(step);
            for (var i = 0; i < Count; i++)
            {
                v[i] = (Momentum * (corrects && step > 1 ? rate / before : 1) * v[i]) + (rate * (g[i] + (Decay * w[i])));
                w[i] -= v[i];
            }

            before = rate;
        }

        Assert.InRange(RelativeError(Train(scaling, "sgd"), w), corrects ? 0 : 1e-3, corrects ? 1e-5 : 10);
    }

    [Theory]
    [InlineData("linear", 1)]
    [InlineData("sqrt", 0.5)]
    public void Lars_with_momentum_correction(string scaling, double exponent)
    {
        const double eta = 0.02;
        var (w, v, before) = (Array.ConvertAll(Numbers(0), x => (double)x), new double[Count], 0.0);
        for (var step = 1; step <= Steps; step++)
        {
            var g = Array.ConvertAll(Numbers(step), x => (double)x);
            var rate = Math.Pow(Batch(step) / (double)Reference, exponent) * Rate(step);
            var local = eta * Norm(w) / (Norm(g) + (Decay * Norm(w)));
            for (var i = 0; i < Count; i++)
            {
                v[i] = (Momentum * (step > 1 ? rate / before : 1) * v[i]) + (rate * local * (g[i] + (Decay * w[i])));
                w[i] -= v[i];
            }

            before = rate;
        }

        Assert.InRange(RelativeError(Train(scaling, "lars", eta), w), 0, 1e-5);
    }

    [Fact]
    public void Lamb_and_the_root_rule_which_leaves_its_betas()
    {
        var (w, m, v, r) = (Array.ConvertAll(Numbers(0), x => (double)x), new double[Count], new double[Count], new double[Count]);
        for (var step = 1; step <= Steps; step++)
        {
            var g = Numbers(step);
            for (var i = 0; i < Count; i++)
            {
                m[i] = (Beta1 * m[i]) + ((1 - Beta1) * g[i]);
                v[i] = (Beta2 * v[i]) + ((1 - Beta2) * g[i] * (double)g[i]);
                r[i] = (m[i] / (1 - Math.Pow(Beta1, step)) / (Math.Sqrt(v[i] / (1 - Math.Pow(Beta2, step))) + Epsilon)) + (Decay * w[i]);
            }

            var rate = Math.Sqrt(Batch(step) / (double)Reference) * Rate(step) * Norm(w) / Norm(r);
            for (var i = 0; i < Count; i++)
            {
                w[i] -= rate * r[i];
            }
        }

        Assert.InRange(RelativeError(Train("sqrt", "lamb"), w), 0, 1e-5);
    }

    private static float[] Train(string scaling, string name, double trust = 1)
    {
        var options = new RunOptions
        {
            Optimizer = new OptimizerOptions { Name = name, Momentum = Momentum, Beta1 = Beta1, Beta2 = Beta2, Epsilon = Epsilon, TrustCoefficient = trust },
            Schedule = new ScheduleOptions { Scaling = scaling, ReferenceBatch = Reference },
        };
        var tandem = new BatchScaling(options, dataSize: 1 << 20);
        using var weights = new NativeVector(Count);
        Numbers(0).CopyTo(weights.Span(0, Count));
        using var rule = FlatOptimizers.Create(options.Optimizer, Count, tandem.IsOn);
        for (var step = 1; step <= Steps; step++)
        {
            var (sum, rate) = (Numbers(step), Rate(step) * tandem.RateFactor(Batch(step)));
            var factors = new UpdateFactors(Weight: 1, Clip: 1, (float)rate, (float)Decay);
            rule.BeginStep(tandem.Of(rate, Batch(step)));
            if (rule is ILayerWiseOptimizer layerWise)
            {
                var ratio = layerWise.Ratio(layerWise.Measure(0, weights.Span(0, Count), sum, factors), factors);
                factors = factors with { Rate = (float)(rate * ratio), Ratio = (float)ratio };
            }

            rule.Update(0, weights.Span(0, Count), sum, factors);
        }

        return weights.Span(0, Count).ToArray();
    }

    /// <summary>32, 128, 2,048, 512 and so on.</summary>
    private static long Batch(int step) => (step % 4) switch { 1 => 32, 2 => 128, 3 => 2048, _ => 512 };

    /// <summary>Initial weights for step 0, gradients for the others.</summary>
    private static float[] Numbers(int step)
    {
        var random = new Random(step);
        return [.. Enumerable.Range(0, Count).Select(_ => random.NextSingle() - 0.5f)];
    }

    private static double Rate(int step) => 0.01 / Math.Sqrt(step);

    private static double Norm(double[] values) => Math.Sqrt(values.Sum(x => x * x));

    private static double RelativeError(float[] actual, double[] expected)
    {
        var difference = actual.Zip(expected, (a, e) => (a - e) * (a - e)).Sum();
        return Math.Sqrt(difference / expected.Sum(e => e * e));
    }
}
