using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using DistTrain.Core.Layouts;
using DistTrain.Core.Numerics;
using DistTrain.Core.Options;
using DistTrain.Core.Schedules;
using DistTrain.Training.Native;

namespace DistTrain.Training.Optimizers;

/// <summary>
/// LAMB: Adam whose update is scaled in every layer to the size of its weights (Y. You et al., "Large batch optimization for deep learning", arXiv 1904.00962,
/// algorithm 2, with phi the identity):
/// <code>
/// m = b1 * m + (1 - b1) * g;   v = b2 * v + (1 - b2) * g * g
/// u = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) + decay * w;   w -= rate * |w| / |u| * u
/// </code>
/// The ratio is 1 where a norm is 0. The powers of the betas are kept as running products in float64, multiplied on applied steps only.
/// </summary>
public sealed class Lamb : ILayerWiseOptimizer, IPreconditioner
{
    private const string Beta1Power = "beta1Power";
    private const string Beta2Power = "beta2Power";

    /// <summary>What the noise is scaled by, which has to be known before the first step.</summary>
    private readonly float _epsilon;
    private readonly NativeVector _mean;
    private readonly NativeVector _square;
    private readonly float[] _step = new float[TileTable.TileSize];
    private StepHyperparameters _now;
    private double _power1 = 1;
    private double _power2 = 1;

    /// <summary>The rule for a vector of weights.</summary>
    /// <param name="options">Betas and epsilon.</param>
    /// <param name="count">Elements.</param>
    public Lamb(OptimizerOptions options, long count)
    {
        _epsilon = (float)options.Epsilon;
        _mean = new NativeVector(count);
        _square = new NativeVector(count);
    }

    /// <inheritdoc/>
    public IReadOnlyList<(string Name, NativeVector Vector)> Vectors => [("mean", _mean), ("square", _square)];

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, double> Scalars
    {
        get => new Dictionary<string, double> { [Beta1Power] = _power1, [Beta2Power] = _power2 };
        set => (_power1, _power2) = (value[Beta1Power], value[Beta2Power]);
    }

    /// <inheritdoc/>
    public void BeginStep(StepHyperparameters now)
    {
        _now = now;
        _power1 *= now.Beta1;
        _power2 *= now.Beta2;
    }

    /// <inheritdoc/>
    public LayerSquares Measure(long offset, ReadOnlySpan<float> weights, ReadOnlySpan<float> gradientSum, UpdateFactors factors)
    {
        Move(offset, gradientSum, factors);
        var step = _step.AsSpan(0, weights.Length);
        Step(offset, weights, factors.Decay, step);
        return new LayerSquares(VectorKernels.SumOfSquares(weights), VectorKernels.SumOfSquares(step));
    }

    /// <inheritdoc/>
    public double Ratio(LayerSquares squares, UpdateFactors factors) =>
        squares is { Weights: > 0, Step: > 0 } ? Math.Sqrt(squares.Weights) / Math.Sqrt(squares.Step) : 1;

    /// <inheritdoc/>
    public void Update(long offset, Span<float> weights, ReadOnlySpan<float> gradientSum, UpdateFactors factors)
    {
        var step = _step.AsSpan(0, weights.Length);
        Step(offset, weights, factors.Decay, step);
        ref var w = ref MemoryMarshal.GetReference(weights);
        ref var u = ref MemoryMarshal.GetReference(step);
        var i = 0;
        for (; i + Vector256<float>.Count <= weights.Length; i += Vector256<float>.Count)
        {
            var at = (nuint)i;
            (Vector256.LoadUnsafe(ref w, at) - (Vector256.LoadUnsafe(ref u, at) * factors.Rate)).StoreUnsafe(ref w, at);
        }

        for (; i < weights.Length; i++)
        {
            weights[i] -= step[i] * factors.Rate;
        }
    }

    /// <inheritdoc/>
    public void WriteScale(long offset, Span<float> scale) => Preconditioner.WriteScale(_square.Span(offset, scale.Length), _power2, _epsilon, scale);

    /// <inheritdoc/>
    public void Dispose()
    {
        _mean.Dispose();
        _square.Dispose();
    }

    /// <summary>The means of gradients and of their squares.</summary>
    private void Move(long offset, ReadOnlySpan<float> gradientSum, UpdateFactors factors)
    {
        var mean = _mean.Span(offset, gradientSum.Length);
        var square = _square.Span(offset, gradientSum.Length);
        ref var g = ref MemoryMarshal.GetReference(gradientSum);
        ref var m = ref MemoryMarshal.GetReference(mean);
        ref var v = ref MemoryMarshal.GetReference(square);
        var (keep1, add1) = ((float)_now.Beta1, (float)(1 - _now.Beta1));
        var (keep2, add2) = ((float)_now.Beta2, (float)(1 - _now.Beta2));
        var i = 0;
        for (; i + Vector256<float>.Count <= gradientSum.Length; i += Vector256<float>.Count)
        {
            var at = (nuint)i;
            var gradient = Vector256.LoadUnsafe(ref g, at) / factors.Weight * factors.Clip;
            ((Vector256.LoadUnsafe(ref m, at) * keep1) + (gradient * add1)).StoreUnsafe(ref m, at);
            ((Vector256.LoadUnsafe(ref v, at) * keep2) + (gradient * gradient * add2)).StoreUnsafe(ref v, at);
        }

        for (; i < gradientSum.Length; i++)
        {
            var gradient = gradientSum[i] / factors.Weight * factors.Clip;
            mean[i] = (mean[i] * keep1) + (gradient * add1);
            square[i] = (square[i] * keep2) + (gradient * gradient * add2);
        }
    }

    /// <summary>u, from what <see cref="Move"/> left: it has the same bits in both passes.</summary>
    private void Step(long offset, ReadOnlySpan<float> weights, float decay, Span<float> step)
    {
        var mean = _mean.Span(offset, weights.Length);
        var square = _square.Span(offset, weights.Length);
        ref var w = ref MemoryMarshal.GetReference(weights);
        ref var m = ref MemoryMarshal.GetReference(mean);
        ref var v = ref MemoryMarshal.GetReference(square);
        ref var u = ref MemoryMarshal.GetReference(step);
        var epsilon = (float)_now.Epsilon;
        var (correction, root) = ((float)(1 - _power1), (float)Math.Sqrt(1 - _power2));
        var i = 0;
        for (; i + Vector256<float>.Count <= weights.Length; i += Vector256<float>.Count)
        {
            var at = (nuint)i;
            var scale = (Vector256.Sqrt(Vector256.LoadUnsafe(ref v, at)) / root) + Vector256.Create(epsilon);
            ((Vector256.LoadUnsafe(ref m, at) / correction / scale) + (Vector256.LoadUnsafe(ref w, at) * decay)).StoreUnsafe(ref u, at);
        }

        for (; i < weights.Length; i++)
        {
            step[i] = (mean[i] / correction / ((MathF.Sqrt(square[i]) / root) + epsilon)) + (weights[i] * decay);
        }
    }
}
