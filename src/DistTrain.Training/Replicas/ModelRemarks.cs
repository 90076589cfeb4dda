using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Training.Activations;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>What a model means for its configuration.</summary>
internal static class ModelRemarks
{
    /// <summary>
    /// Below this many samples BatchNorm loses accuracy to the noise of its statistics (Y. Wu, K. He, arXiv 1803.08494, figure 1: little from 32 to 16,
    /// then more with every halving).
    /// </summary>
    private const int EnoughForBatchNorm = 16;

    /// <summary>The remarks, in sentences.</summary>
    public static IEnumerable<string> On(nn.Module model, BatchOptions batch)
    {
        // The smallest micro-batch of a whole step.
        var samples = batch.Global / new BatchPlan(batch.Global, new BatchGeometry(batch.Global, batch.Micro, 1)).MicroBatches;
        if (samples < EnoughForBatchNorm && model.modules().Any(m => m is BatchNorm1d or BatchNorm2d or BatchNorm3d))
        {
            yield return $"The model has BatchNorm, which normalises by the mean and variance of each micro-batch, here of {samples} {(samples == 1 ? "sample" : "samples")}, and not of the "
                + $"global batch: below {EnoughForBatchNorm} these are noisy and accuracy suffers. Raise batch.micro, or use a norm that does not look "
                + "across samples, such as GroupNorm.";
        }
    }

    /// <summary>That segments are asked for and the model has none.</summary>
    /// <param name="activations">The segments asked for, and whether there were any.</param>
    /// <param name="hasTrained">Whether there could have been.</param>
    public static IEnumerable<string> On(ActivationTape activations, bool hasTrained)
    {
        if (hasTrained && activations is { Segments: > 1, WasUsed: false })
        {
            yield return $"activationCheckpointing is {activations.Segments}, and saves no memory: this model computes no layers in segments on this device. On the processor gpt and resnet do, "
                + $"and a model of your own that runs its layers by {nameof(ActivationCheckpoints)}.{nameof(ActivationCheckpoints.RunSequential)}.";
        }
    }
}
