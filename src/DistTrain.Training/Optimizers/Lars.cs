using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using DistTrain.Core.Numerics;
using DistTrain.Core.Options;
using DistTrain.Core.Schedules;
using DistTrain.Training.Native;

namespace DistTrain.Training.Optimizers;

/// <summary>
/// LARS: momentum whose rate is scaled in every layer by how large its weights are against their gradient (Y. You, I. Gitman, B. Ginsburg, "Large batch
/// training of convolutional networks", arXiv 1708.03888, algorithm 1):
/// <code>
/// local = eta * |w| / (|g| + decay * |w|);   v = momentum * v + rate * local * (g + decay * w);   w -= v
/// </code>
/// The rate is inside the velocity, as there; or outside, <c>v = momentum * v + local * (g + decay * w);   w -= rate * v</c>, where it follows the batch: then a rate that changes acts on all of the
/// velocity at once, which is momentum correction (P. Goyal et al., arXiv 1706.02677, section 3). <c>local</c> is 1 where the weights are all 0, or the denominator is.
/// </summary>
public sealed class Lars : ILayerWiseOptimizer
{
    private readonly float _momentum;
    private readonly double _trust;
    private readonly bool _corrects;
    private readonly NativeVector _velocity;
    private float _rate;

    /// <summary>The rule for a vector of weights.</summary>
    /// <param name="options">Momentum and trust coefficient.</param>
    /// <param name="count">Elements.</param>
    /// <param name="corrects">Whether the rate is outside the velocity.</param>
    public Lars(OptimizerOptions options, long count, bool corrects = false)
    {
        _corrects = corrects;
        _momentum = (float)options.Momentum;
        _trust = options.TrustCoefficient;
        _velocity = new NativeVector(count);
    }

    /// <inheritdoc/>
    public IReadOnlyList<(string Name, NativeVector Vector)> Vectors => [("momentum", _velocity)];

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, double> Scalars
    {
        get => new Dictionary<string, double>();
        set => ArgumentOutOfRangeException.ThrowIfNotEqual(value.Count, 0);
    }

    /// <inheritdoc/>
    public void BeginStep(StepHyperparameters now) => _rate = (float)now.Rate;

    /// <inheritdoc/>
    public LayerSquares Measure(long offset, ReadOnlySpan<float> weights, ReadOnlySpan<float> gradientSum, UpdateFactors factors) =>
        new(VectorKernels.SumOfSquares(weights), VectorKernels.SumOfSquares(gradientSum));

    /// <inheritdoc/>
    public double Ratio(LayerSquares squares, UpdateFactors factors)
    {
        var (weights, gradient) = (Math.Sqrt(squares.Weights), Math.Sqrt(squares.Step) / factors.Weight * factors.Clip);
        var denominator = gradient + (factors.Decay * weights);
        return weights > 0 && denominator > 0 ? _trust * weights / denominator : 1;
    }

    /// <inheritdoc/>
    public void Update(long offset, Span<float> weights, ReadOnlySpan<float> gradientSum, UpdateFactors factors)
    {
        var velocity = _velocity.Span(offset, weights.Length);
        ref var w = ref MemoryMarshal.GetReference(weights);
        ref var g = ref MemoryMarshal.GetReference(gradientSum);
        ref var v = ref MemoryMarshal.GetReference(velocity);
        var (inside, outside) = _corrects ? (factors.Ratio, _rate) : (factors.Rate, 1f);
        var i = 0;
        for (; i + Vector256<float>.Count <= weights.Length; i += Vector256<float>.Count)
        {
            var at = (nuint)i;
            var weight = Vector256.LoadUnsafe(ref w, at);
            var step = (Vector256.LoadUnsafe(ref g, at) / factors.Weight * factors.Clip) + (weight * factors.Decay);
            var moved = (Vector256.LoadUnsafe(ref v, at) * _momentum) + (step * inside);
            moved.StoreUnsafe(ref v, at);
            (weight - (moved * outside)).StoreUnsafe(ref w, at);
        }

        for (; i < weights.Length; i++)
        {
            var step = (gradientSum[i] / factors.Weight * factors.Clip) + (weights[i] * factors.Decay);
            velocity[i] = (velocity[i] * _momentum) + (step * inside);
            weights[i] -= velocity[i] * outside;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _velocity.Dispose();
}
