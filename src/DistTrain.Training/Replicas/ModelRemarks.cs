using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>What a model means for the way the batch is cut up.</summary>
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
}
