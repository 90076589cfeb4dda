using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
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
    private const double Noise = 0.5;

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

    /// <summary>Algorithm 1 of arXiv 2007.05105 with the averages of its appendix B.3, on a noisy quadratic; a gain is estimated from what ends two steps before it.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(Momentum)]
    public void Sgd_and_AdaScale_to_the_end_of_its_run(double momentum)
    {
        const int scale = 8, whole = 330;
        const double theta = 1 - (scale / 1000.0);
        var (w, v, mean) = (Array.ConvertAll(Numbers(0), x => (double)x), new double[Count], new double[Count]);
        var (tau, sigmas, mus, gains, steps) = (0.0, 0.0, 0.0, new List<double>(), 0);
        for (; tau < whole; steps++)
        {
            var gain = steps < 2 ? 1 : gains[steps - 2];
            var rate = gain * 0.02 * (1 + Math.Cos(Math.PI * tau / whole)) / 2;
            Array.Clear(mean);
            var squares = 0.0;
            for (var part = 0; part < scale; part++)
            {
                var noise = Numbers((steps * scale) + part + 1);
                for (var i = 0; i < Count; i++)
                {
                    var g = (Curvature(i) * w[i]) + (Noise * noise[i]);
                    mean[i] += g / scale;
                    squares += g * g;
                }
            }

            var norm = mean.Sum(g => g * g);
            var sigma = Math.Max((squares / (scale - 1)) - (scale / (scale - 1.0) * norm), 0);
            var mu = Math.Max(norm - (sigma / scale), 0);
            var isMean = steps + 1 < 1 / (1 - theta);
            sigmas = isMean ? ((sigmas * steps) + sigma) / (steps + 1) : (theta * sigmas) + ((1 - theta) * sigma);
            mus = isMean ? ((mus * steps) + mu) / (steps + 1) : (theta * mus) + ((1 - theta) * mu);
            gains.Add((sigmas + mus) / ((sigmas / scale) + mus));
            for (var i = 0; i < Count; i++)
            {
                v[i] = (momentum * v[i]) + mean[i];
                w[i] -= rate * v[i];
            }

            tau += gain;
        }

        var (weights, taken) = TrainByGain(momentum, scale, whole);
        Assert.InRange(steps, 100, whole - 50);
        Assert.Equal(steps, taken);
        Assert.InRange(RelativeError(weights, w), 0, 1e-5);
    }

    /// <summary>The same by the course of a run, from sums of blocks in fp32.</summary>
    private static (float[] Weights, int Steps) TrainByGain(double momentum, int scale, long whole)
    {
        var options = new RunOptions
        {
            Batch = new BatchOptions { Global = Reference * scale, Micro = (int)Reference, Blocks = scale },
            Optimizer = new OptimizerOptions { LearningRate = 0.02, Momentum = momentum },
            Schedule = new ScheduleOptions { Name = "cosine", Scaling = "adascale", ReferenceBatch = Reference },
            Stop = new StopOptions { Samples = Reference * whole },
        };
        using var weights = new NativeVector(Count);
        Numbers(0).CopyTo(weights.Span(0, Count));
        using var rule = FlatOptimizers.Create(options.Optimizer, Count, scales: true);
        var (course, decider, sum, steps) = (new RunCourse(options, 1 << 30, 0), new RunDecider(options), new float[Count], 0);
        for (var at = CoursePosition.Start; course.Next(at) is var (operation, next); at = next, steps++)
        {
            Array.Clear(sum);
            var (now, squares) = (weights.Span(0, Count).ToArray(), 0.0);
            for (var part = 0; part < scale; part++)
            {
                var noise = Numbers((steps * scale) + part + 1);
                for (var i = 0; i < Count; i++)
                {
                    var block = Reference * (((float)Curvature(i) * now[i]) + ((float)Noise * noise[i]));
                    sum[i] += block;
                    squares += (double)block * block / Reference;
                }
            }

            rule.Update(0, weights.Span(0, Count), sum, new UpdateFactors(operation.Samples.Count, Clip: 1, (float)operation.LearningRate, Decay: 0));
            var moments = new GradientSums(scale, squares, sum.Sum(x => (double)x * x)).Moments(operation.Samples.Count, operation.Samples.Count);
            var shown = new OperationEvidence(operation.Kind, operation.Step, 1, moments);
            course = course.With(shown);
            course = decider.Take(shown, course) is { } decision && course.Takes(decision) ? course.With(decision) : course;
        }

        return (weights.Span(0, Count).ToArray(), steps);
    }

    private static double Curvature(int i) => 0.05 + (i / (double)Count);

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
