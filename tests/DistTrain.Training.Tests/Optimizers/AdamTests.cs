using DistTrain.Core.Schedules;
using DistTrain.Training.Native;
using DistTrain.Training.Optimizers;
using TorchSharp;
using static TorchSharp.torch;
using OptimizerOptions = DistTrain.Core.Options.OptimizerOptions;
using Parameter = TorchSharp.Modules.Parameter;

namespace DistTrain.Training.Tests.Optimizers;

/// <summary>Adam and AdamW against their formulas in float64, against torch's, and against themselves in pieces.</summary>
[Collection(AloneInProcess.Name)]
public sealed class AdamTests
{
    private const int Count = 1_003;
    private const int Steps = 100;
    private const float Weight = 7;
    private const float Clip = 0.75f;

    /// <summary>Whether decay is decoupled (AdamW), and how large it is.</summary>
    public static TheoryData<bool, double> Rules => new() { { false, 0 }, { false, 0.01 }, { true, 0 }, { true, 0.1 } };

    [Theory]
    [MemberData(nameof(Rules))]
    public void A_hundred_steps_follow_the_formula_in_float64(bool decoupled, double decay)
    {
        const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
        var w = Array.ConvertAll(Numbers(0), x => (double)x);
        var (m, v) = (new double[Count], new double[Count]);
        for (var step = 1; step <= Steps; step++)
        {
            var (sum, rate) = (Numbers(step), Rate(step));
            for (var i = 0; i < Count; i++)
            {
                var g = (sum[i] / (double)Weight * Clip) + (decoupled ? 0 : decay * w[i]);
                m[i] = (beta1 * m[i]) + ((1 - beta1) * g);
                v[i] = (beta2 * v[i]) + ((1 - beta2) * g * g);
                var corrected = Math.Sqrt(v[i] / (1 - Math.Pow(beta2, step))) + epsilon;
                w[i] = (decoupled ? w[i] * (1 - (rate * decay)) : w[i]) - (rate * m[i] / (1 - Math.Pow(beta1, step)) / corrected);
            }
        }

        Assert.InRange(RelativeError(Train(decoupled, decay), w), 0, 1e-5);
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void A_hundred_steps_are_those_of_torch(bool decoupled, double decay)
    {
        using var scope = NewDisposeScope();
        var parameter = new Parameter(tensor(Numbers(0)));
        optim.Optimizer optimizer = decoupled
            ? optim.AdamW([parameter], 1, weight_decay: decay)
            : optim.Adam([parameter], 1, weight_decay: decay);
        for (var step = 1; step <= Steps; step++)
        {
            parameter.grad = tensor(Array.ConvertAll(Numbers(step), g => g / Weight * Clip));
            foreach (var group in optimizer.ParamGroups)
            {
                group.LearningRate = Rate(step);
            }

            optimizer.step();
        }

        var expected = Array.ConvertAll(parameter.detach().data<float>().ToArray(), x => (double)x);
        Assert.InRange(RelativeError(Train(decoupled, decay), expected), 0, 1e-5);
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void Any_cut_of_the_vector_gives_the_same_bits(bool decoupled, double decay)
    {
        var whole = Train(decoupled, decay).Select(BitConverter.SingleToUInt32Bits).ToArray();
        var random = new Random(1);

        Assert.Equal(whole, Train(decoupled, decay, () => 1).Select(BitConverter.SingleToUInt32Bits));
        Assert.Equal(whole, Train(decoupled, decay, () => random.Next(1, 40)).Select(BitConverter.SingleToUInt32Bits));
    }

    [Fact]
    public void The_powers_of_the_betas_are_state()
    {
        using var rule = new Adam(new OptimizerOptions(), decoupled: true, 1);
        rule.BeginStep(Now(1));
        rule.BeginStep(Now(2));
        using var resumed = new Adam(new OptimizerOptions(), decoupled: true, 1) { Scalars = rule.Scalars };

        Assert.Equal(0.9 * 0.9, resumed.Scalars["beta1Power"]);
        Assert.Equal(0.999 * 0.999, resumed.Scalars["beta2Power"]);
        Assert.Equal(["mean", "square"], rule.Vectors.Select(v => v.Name));
    }

    private static float[] Train(bool decoupled, double decay, Func<int>? piece = null)
    {
        using var weights = new NativeVector(Count);
        Numbers(0).CopyTo(weights.Span(0, Count));
        using var rule = FlatOptimizers.Create(new OptimizerOptions { Name = decoupled ? "adamw" : "adam" }, Count);
        for (var step = 1; step <= Steps; step++)
        {
            var sum = Numbers(step);
            rule.BeginStep(Now(step));
            for (var at = 0; at < Count;)
            {
                var length = Math.Min(piece?.Invoke() ?? Count, Count - at);
                rule.Update(at, weights.Span(at, length), sum.AsSpan(at, length), new UpdateFactors(Weight, Clip, Rate(step), (float)decay));
                at += length;
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

    private static StepHyperparameters Now(int step) => new(Rate(step), 0.9, 0.999, 1e-8);

    private static float Rate(int step) => 0.01f / MathF.Sqrt(step);

    private static double RelativeError(float[] actual, double[] expected)
    {
        var difference = actual.Zip(expected, (a, e) => (a - e) * (a - e)).Sum();
        return Math.Sqrt(difference / expected.Sum(e => e * e));
    }
}
