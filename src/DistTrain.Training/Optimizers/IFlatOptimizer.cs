using DistTrain.Training.Native;

namespace DistTrain.Training.Optimizers;

/// <summary>
/// An update rule over flat vectors. Element-wise, with one fixed order of operations and no fused multiply-add: identical bits on every
/// worker and for every way of cutting the vector up.
/// </summary>
public interface IFlatOptimizer : IDisposable
{
    /// <summary>The optimizer's vectors by name, each as long as the weights; they are part of a checkpoint.</summary>
    IReadOnlyList<(string Name, NativeVector Vector)> State { get; }

    /// <summary>Updates consecutive elements.</summary>
    /// <param name="offset">First element.</param>
    /// <param name="weights">The weights from there, read and written.</param>
    /// <param name="gradientSum">The reduced sum of gradients from there.</param>
    /// <param name="scale">What turns the sum into the gradient.</param>
    /// <param name="rate">The learning rate.</param>
    void Update(long offset, Span<float> weights, ReadOnlySpan<float> gradientSum, GradientScale scale, float rate);
}

/// <summary>gradient = sum / Weight * Clip.</summary>
/// <param name="Weight">Weight of the step in samples or tokens, as fp32.</param>
/// <param name="Clip">Factor that limits the norm; 1 where nothing is clipped.</param>
public readonly record struct GradientScale(float Weight, float Clip);
