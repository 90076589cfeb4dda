using DistTrain.Core.Schedules;
using DistTrain.Training.Native;

namespace DistTrain.Training.Optimizers;

/// <summary>
/// An update rule over flat vectors. Element-wise, with one fixed order of operations and no fused multiply-add: identical bits on every
/// worker and for every way of cutting the vector up.
/// </summary>
public interface IFlatOptimizer : IDisposable
{
    /// <summary>The optimizer's vectors by name, each as long as the weights; they are part of a checkpoint.</summary>
    IReadOnlyList<(string Name, NativeVector Vector)> Vectors { get; }

    /// <summary>The optimizer's numbers by name; they are part of a checkpoint. A name that is not its own is an error.</summary>
    IReadOnlyDictionary<string, double> Scalars { get; set; }

    /// <summary>Called once before the tiles of a step that is applied; a skipped step is not begun.</summary>
    /// <param name="now">What the rule goes by in this step. No state: it is given anew for every step.</param>
    void BeginStep(StepHyperparameters now);

    /// <summary>Updates consecutive elements of one parameter.</summary>
    /// <param name="offset">First element in the flat vector.</param>
    /// <param name="weights">The weights from there, read and written.</param>
    /// <param name="gradientSum">The reduced sum of gradients from there, as long as <paramref name="weights"/>.</param>
    /// <param name="factors">What makes an update of it.</param>
    void Update(long offset, Span<float> weights, ReadOnlySpan<float> gradientSum, UpdateFactors factors);
}

/// <summary>What turns a sum of gradients into an update; the gradient is sum / Weight * Clip.</summary>
/// <param name="Weight">Weight of the step in samples or tokens, as fp32.</param>
/// <param name="Clip">Factor that limits the norm; 1 where nothing is clipped.</param>
/// <param name="Rate">The learning rate.</param>
/// <param name="Decay">Weight decay of this parameter.</param>
/// <param name="Ratio">What a layer-wise rule has multiplied the step's rate by: it is in <paramref name="Rate"/>.</param>
public readonly record struct UpdateFactors(float Weight, float Clip, float Rate, float Decay, float Ratio = 1);
