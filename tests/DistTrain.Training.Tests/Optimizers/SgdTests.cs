using DistTrain.Core.Schedules;
using DistTrain.Training.Native;
using DistTrain.Training.Optimizers;
using TorchSharp;
using static TorchSharp.torch;
using OptimizerOptions = DistTrain.Core.Options.OptimizerOptions;
using Parameter = TorchSharp.Modules.Parameter;

namespace DistTrain.Training.Tests.Optimizers;

/// <summary>SGD against its formula in float64, against torch's, and against itself in pieces.</summary>
[Collection(AloneInProcess.Name)]
public sealed class SgdTests
{
    private const int Count = 1_003;
    private const int Steps = 50;
    private const float Weight = 7;
    private const float Clip = 0.75f;

    /// <summary>Momentum, Nesterov, weight decay.</summary>
    public static TheoryData<double, bool, double> Rules => new()
    {
        { 0, false, 0 }, { 0, false, 0.01 }, { 0.9, false, 0 }, { 0.9, false, 0.01 }, { 0.9, true, 0 }, { 0.9, true, 0.01 },
    };

    [Theory]
    [MemberData(nameof(Rules))]
    public void Fifty_steps_follow_the_formula_in_float64(double momentum, bool nesterov, double decay)
    {
        var (w, v) = (Array.ConvertAll(Numbers(0), x => (double)x), new double[Count]);
        for (var step = 1; step <= Steps; step++)
        {
            var (sum, rate) = (Numbers(step), Rate(step));
            for (var i = 0; i < Count; i++)
            {
                var d = (sum[i] / (double)Weight * Clip) + (decay * w[i]);
                v[i] = (momentum * v[i]) + d;
                w[i] -= rate * (nesterov ? d + (momentum * v[i]) : v[i]);
            }
        }

        Assert.InRange(RelativeError(Train(momentum, nesterov, decay).Weights, w), 0, 1e-5);
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void Fifty_steps_are_those_of_torch(double momentum, bool nesterov, double decay)
    {
        using var scope = NewDisposeScope();
        var parameter = new Parameter(tensor(Numbers(0)));
        var optimizer = optim.SGD([parameter], 1, momentum, weight_decay: decay, nesterov: nesterov);
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
        Assert.InRange(RelativeError(Train(momentum, nesterov, decay).Weights, expected), 0, 1e-5);
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void Any_cut_of_the_vector_gives_the_same_bits(double momentum, bool nesterov, double decay)
    {
        var whole = Train(momentum, nesterov, decay);
        var random = new Random(1);

        // One element at a time never enters the vectorised path; the others mix it with the tail.
        AssertSameBits(whole, Train(momentum, nesterov, decay, () => 1));
        AssertSameBits(whole, Train(momentum, nesterov, decay, () => 8));
        AssertSameBits(whole, Train(momentum, nesterov, decay, () => random.Next(1, 40)));
    }

    [Fact]
    public void The_rule_without_momentum_keeps_no_state()
    {
        using var plain = new Sgd(new OptimizerOptions { Momentum = 0 }, 10);
        using var heavy = new Sgd(new OptimizerOptions { Momentum = 0.9 }, 10);

        Assert.Empty(plain.Vectors);
        Assert.Equal("momentum", Assert.Single(heavy.Vectors).Name);
        Assert.Equal(10, heavy.Vectors[0].Vector.Count);
    }

    [Fact]
    public void An_unknown_rule_is_refused_by_name() =>
        Assert.Contains("lion", Assert.Throws<ArgumentException>(() => FlatOptimizers.Create(new OptimizerOptions { Name = "lion" }, 1)).Message, StringComparison.Ordinal);

    private static (float[] Weights, float[] Velocity) Train(double momentum, bool nesterov, double decay, Func<int>? piece = null)
    {
        using var weights = new NativeVector(Count);
        Numbers(0).CopyTo(weights.Span(0, Count));
        using var rule = FlatOptimizers.Create(new OptimizerOptions { Momentum = momentum, Nesterov = nesterov }, Count);
        for (var step = 1; step <= Steps; step++)
        {
            var sum = Numbers(step);
            rule.BeginStep(new StepHyperparameters { Rate = Rate(step) });
            for (var at = 0; at < Count;)
            {
                var length = Math.Min(piece?.Invoke() ?? Count, Count - at);
                rule.Update(at, weights.Span(at, length), sum.AsSpan(at, length), new UpdateFactors(Weight, Clip, Rate(step), (float)decay));
                at += length;
            }
        }

        return (weights.Span(0, Count).ToArray(), rule.Vectors.Count == 0 ? [] : rule.Vectors[0].Vector.Span(0, Count).ToArray());
    }

    /// <summary>Initial weights for step 0, sums of gradients for the others.</summary>
    private static float[] Numbers(int step)
    {
        var random = new Random(step);
        return [.. Enumerable.Range(0, Count).Select(_ => (random.NextSingle() - 0.5f) * (step == 0 ? 1 : Weight))];
    }

    private static float Rate(int step) => 0.1f / step;

    private static double RelativeError(float[] actual, double[] expected)
    {
        var difference = actual.Zip(expected, (a, e) => (a - e) * (a - e)).Sum();
        return Math.Sqrt(difference / expected.Sum(e => e * e));
    }

    private static void AssertSameBits((float[] Weights, float[] Velocity) expected, (float[] Weights, float[] Velocity) actual)
    {
        Assert.Equal(expected.Weights.Select(BitConverter.SingleToUInt32Bits), actual.Weights.Select(BitConverter.SingleToUInt32Bits));
        Assert.Equal(expected.Velocity.Select(BitConverter.SingleToUInt32Bits), actual.Velocity.Select(BitConverter.SingleToUInt32Bits));
    }
}
