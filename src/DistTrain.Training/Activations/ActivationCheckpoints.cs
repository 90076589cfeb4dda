using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Activations;

/// <summary>
/// Activation checkpointing (T. Chen et al., arXiv 1604.06174): a chain of layers is cut into segments, only their inputs are kept for the backward pass, and the activations within a
/// segment are computed again when its turn comes. Less memory for most of a second forward pass; loss, gradients and buffers have the same bits.
/// </summary>
public static class ActivationCheckpoints
{
    /// <summary>
    /// Runs layers one after the other, in a model's forward pass, in as many segments as <c>activationCheckpointing</c> says: what <c>checkpoint_sequential</c> is to
    /// users of PyTorch. As there, the last segment keeps its activations, which are needed at once. Outside of a training pass it just runs them.
    /// </summary>
    /// <param name="layers">
    /// The layers. Dropout and BatchNorm are no matter: torch's generator and the layers' buffers are put back. What else a layer draws or remembers is not: an
    /// output that is not the first pass's, bit for bit, is an error.
    /// </param>
    /// <param name="input">The input of the first. A GPU's keeps all activations, because TorchSharp cannot put back its generator.</param>
    /// <returns>The output of the last.</returns>
    public static Tensor RunSequential(IReadOnlyList<nn.Module<Tensor, Tensor>> layers, Tensor input)
    {
        var tape = is_grad_enabled() && input.device_type == DeviceType.CPU ? ActivationTape.Current : null;
        var segments = Math.Clamp(tape?.Segments ?? 0, 1, Math.Max(1, layers.Count));
        var value = input;
        for (var segment = 0; segment < segments; segment++)
        {
            var first = First(segment);
            var part = layers.Skip(first).Take(First(segment + 1) - first);
            value = segment < segments - 1 ? tape!.Run([.. part], value) : part.Aggregate(value, (x, layer) => layer.call(x));
        }

        return value;

        int First(int segment) => (int)((long)segment * layers.Count / segments);
    }
}
