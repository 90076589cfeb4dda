using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using DistTrain.Core.Options;
using DistTrain.Core.Schedules;
using DistTrain.Training.Native;

namespace DistTrain.Training.Optimizers;

/// <summary>
/// Adam (D. Kingma, J. Ba, arXiv 1412.6980) and, with <c>decoupled</c> decay, AdamW (I. Loshchilov, F. Hutter, arXiv 1711.05101), in the form PyTorch
/// documents for torch.optim.Adam and torch.optim.AdamW:
/// <code>
/// Adam:  g += decay * w          AdamW:  w -= rate * decay * w
/// m = b1 * m + (1 - b1) * g;   v = b2 * v + (1 - b2) * g * g
/// w -= rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
/// </code>
/// The powers of the betas are kept as running products in float64, multiplied on applied steps only: with betas that follow the batch, b^t is the product of all t of them.
/// </summary>
public sealed class Adam : IFlatOptimizer, IPreconditioner
{
    private const string Beta1Power = "beta1Power";
    private const string Beta2Power = "beta2Power";

    /// <summary>What the noise is scaled by, which has to be known before the first step.</summary>
    private readonly float _epsilon;
    private readonly bool _decoupled;
    private readonly NativeVector _mean;
    private readonly NativeVector _square;
    private StepHyperparameters _now;
    private double _power1 = 1;
    private double _power2 = 1;

    /// <summary>The rule for a vector of weights.</summary>
    /// <param name="options">Betas and epsilon.</param>
    /// <param name="decoupled">Whether decay acts on the weights (AdamW) and not on the gradient (Adam).</param>
    /// <param name="count">Elements.</param>
    public Adam(OptimizerOptions options, bool decoupled, long count)
    {
        _epsilon = (float)options.Epsilon;
        _decoupled = decoupled;
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
    public void Update(long offset, Span<float> weights, ReadOnlySpan<float> gradientSum, UpdateFactors factors)
    {
        var mean = _mean.Span(offset, weights.Length);
        var square = _square.Span(offset, weights.Length);
        ref var w = ref MemoryMarshal.GetReference(weights);
        ref var g = ref MemoryMarshal.GetReference(gradientSum);
        ref var m = ref MemoryMarshal.GetReference(mean);
        ref var v = ref MemoryMarshal.GetReference(square);
        var (keep1, add1) = ((float)_now.Beta1, (float)(1 - _now.Beta1));
        var (keep2, add2) = ((float)_now.Beta2, (float)(1 - _now.Beta2));
        var epsilon = (float)_now.Epsilon;
        var step = (float)(factors.Rate / (1 - _power1));
        var root = (float)Math.Sqrt(1 - _power2);
        var shrink = _decoupled ? 1 - (factors.Rate * factors.Decay) : 1f;
        var coupled = _decoupled ? 0f : factors.Decay;
        var i = 0;
        for (; i + Vector256<float>.Count <= weights.Length; i += Vector256<float>.Count)
        {
            var at = (nuint)i;
            var weight = Vector256.LoadUnsafe(ref w, at);
            var gradient = (Vector256.LoadUnsafe(ref g, at) / factors.Weight * factors.Clip) + (weight * coupled);
            var first = (Vector256.LoadUnsafe(ref m, at) * keep1) + (gradient * add1);
            var second = (Vector256.LoadUnsafe(ref v, at) * keep2) + (gradient * gradient * add2);
            first.StoreUnsafe(ref m, at);
            second.StoreUnsafe(ref v, at);
            var scale = (Vector256.Sqrt(second) / root) + Vector256.Create(epsilon);
            ((weight * shrink) - (first / scale * step)).StoreUnsafe(ref w, at);
        }

        for (; i < weights.Length; i++)
        {
            var gradient = (gradientSum[i] / factors.Weight * factors.Clip) + (weights[i] * coupled);
            mean[i] = (mean[i] * keep1) + (gradient * add1);
            square[i] = (square[i] * keep2) + (gradient * gradient * add2);
            var scale = (MathF.Sqrt(square[i]) / root) + epsilon;
            weights[i] = (weights[i] * shrink) - (mean[i] / scale * step);
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
}
