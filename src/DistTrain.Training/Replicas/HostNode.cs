using DistTrain.Training.Native;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>A node in host memory, into which the processor accumulates.</summary>
/// <param name="values">The sums; disposed with the node.</param>
/// <param name="gradients">Views of them for the parameters; disposed with the node.</param>
/// <param name="buffersStart">Where the part of the model's buffers begins.</param>
internal sealed class HostNode(NativeVector values, Tensor[] gradients, long buffersStart) : NodeBuffer, IDisposable
{
    internal override Tensor[] Gradients => gradients;

    public override NativeVector ToHost() => values;

    public override void Clear() => values.Clear();

    public void Dispose()
    {
        Array.ForEach(gradients, g => g.Dispose());
        values.Dispose();
    }

    internal override void AddToBuffers(NativeVector changes) => values.Add(buffersStart, changes);

    private protected override void AddValues(NodeBuffer right) => values.Add(0, right.ToHost());
}
