using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using DistTrain.Core.Options;
using DistTrain.Core.Schedules;
using DistTrain.Training.Native;

namespace DistTrain.Training.Optimizers;

/// <summary>
/// Stochastic gradient descent with momentum, Nesterov's form of it, and weight decay, in the form PyTorch documents for torch.optim.SGD
/// (I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, with the rate outside the velocity):
/// <code>
/// d = g + decay * w;   v = momentum * v + d;   w -= rate * (nesterov ? d + momentum * v : v)
/// </code>
/// Because the rate is outside the velocity, a rate that changes acts on all of it at once: this is momentum correction (P. Goyal et al., arXiv 1706.02677, section 3).
/// </summary>
public sealed class Sgd : IFlatOptimizer
{
    private readonly float _momentum;
    private readonly bool _nesterov;
    private readonly NativeVector? _velocity;

    /// <summary>The rule for a vector of weights.</summary>
    /// <param name="options">Momentum and its form.</param>
    /// <param name="count">Elements.</param>
    public Sgd(OptimizerOptions options, long count)
    {
        _momentum = (float)options.Momentum;
        _nesterov = options.Nesterov;
        _velocity = _momentum == 0 ? null : new NativeVector(count);
    }

    /// <inheritdoc/>
    public IReadOnlyList<(string Name, NativeVector Vector)> Vectors => _velocity is null ? [] : [("momentum", _velocity)];

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, double> Scalars
    {
        get => new Dictionary<string, double>();
        set => ArgumentOutOfRangeException.ThrowIfNotEqual(value.Count, 0);
    }

    /// <inheritdoc/>
    public void BeginStep(StepHyperparameters now)
    {
        // Momentum stays, and the rate comes with the factors.
    }

    /// <inheritdoc/>
    public void Update(long offset, Span<float> weights, ReadOnlySpan<float> gradientSum, UpdateFactors factors)
    {
        var velocity = _velocity is null ? [] : _velocity.Span(offset, weights.Length);
        ref var w = ref MemoryMarshal.GetReference(weights);
        ref var g = ref MemoryMarshal.GetReference(gradientSum);
        ref var v = ref MemoryMarshal.GetReference(velocity);
        var i = 0;
        for (; i + Vector256<float>.Count <= weights.Length; i += Vector256<float>.Count)
        {
            var at = (nuint)i;
            var weight = Vector256.LoadUnsafe(ref w, at);
            var step = (Vector256.LoadUnsafe(ref g, at) / factors.Weight * factors.Clip) + (weight * factors.Decay);
            if (_velocity is not null)
            {
                var moved = (Vector256.LoadUnsafe(ref v, at) * _momentum) + step;
                moved.StoreUnsafe(ref v, at);
                step = _nesterov ? step + (moved * _momentum) : moved;
            }

            (weight - (step * factors.Rate)).StoreUnsafe(ref w, at);
        }

        for (; i < weights.Length; i++)
        {
            var step = (gradientSum[i] / factors.Weight * factors.Clip) + (weights[i] * factors.Decay);
            if (_velocity is not null)
            {
                velocity[i] = (velocity[i] * _momentum) + step;
                step = _nesterov ? step + (velocity[i] * _momentum) : velocity[i];
            }

            weights[i] -= step * factors.Rate;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _velocity?.Dispose();
}
