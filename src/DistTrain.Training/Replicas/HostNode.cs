using DistTrain.Core.Layouts;
using DistTrain.Core.Numerics;
using DistTrain.Training.Native;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>A node in host memory, into which the processor accumulates.</summary>
/// <param name="values">The sums; disposed with the node.</param>
/// <param name="gradients">Views of them for the parameters; disposed with the node.</param>
/// <param name="buffersStart">Where the part of the model's buffers begins.</param>
internal sealed class HostNode(NativeVector values, Tensor[] gradients, long buffersStart) : NodeBuffer, IDisposable
{
    public override bool AccumulatesInHost => true;

    internal override Tensor[] Gradients => gradients;

    public override NativeVector ToHost() => values;

    public override void Clear() => values.Clear();

    public void Dispose()
    {
        Array.ForEach(gradients, g => g.Dispose());
        values.Dispose();
    }

    internal override double SumOfSquares(ParameterLayout layout)
    {
        // Nothing is accumulated into what is frozen: it is 0.
        var (tiles, sum) = (layout.Tiles, 0.0);
        for (var tile = 0; tile < tiles.Count && tiles.Start(tile) < layout.BuffersStart; tile++)
        {
            sum += VectorKernels.SumOfSquares(values.Span(tiles.Start(tile), tiles.Length(tile)));
        }

        return sum;
    }

    internal override void AddToBuffers(NativeVector changes) => values.Add(buffersStart, changes);

    private protected override void AddValues(NodeBuffer right) => values.Add(0, right.ToHost());
}
