using DistTrain.Core.Reduction;
using DistTrain.Training.Native;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>The memory of one node of the reduction tree: a flat vector of gradient sums, and views of it for every parameter.</summary>
public sealed class NodeBuffer : IDisposable
{
    internal NodeBuffer(NativeVector values, Tensor[] gradients)
    {
        Values = values;
        Gradients = gradients;
    }

    /// <summary>The gradient sums; empty for an evaluation.</summary>
    public NativeVector Values { get; }

    /// <summary>What is folded beside them.</summary>
    public NodeHeader Header { get; internal set; } = new(0, 0, []);

    internal Tensor[] Gradients { get; }

    /// <summary>Makes it the sum of no samples.</summary>
    /// <param name="metrics">How many metric sums the header has.</param>
    public void SetZero(int metrics)
    {
        Values.Clear();
        Header = new NodeHeader(0, 0, new double[metrics]);
    }

    /// <summary>left += right; <paramref name="right"/> keeps its values and may be used again.</summary>
    public static NodeBuffer Add(NodeBuffer left, NodeBuffer right)
    {
        const int piece = 1 << 20;
        for (var at = 0L; at < left.Values.Count; at += piece)
        {
            var count = (int)Math.Min(piece, left.Values.Count - at);
            Core.Numerics.VectorKernels.AddInPlace(left.Values.Span(at, count), right.Values.Span(at, count));
        }

        left.Header = NodeHeader.Add(left.Header, right.Header);
        return left;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Array.ForEach(Gradients, g => g.Dispose());
        Values.Dispose();
    }
}
