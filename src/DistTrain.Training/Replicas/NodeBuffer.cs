using DistTrain.Core.Layouts;
using DistTrain.Core.Reduction;
using DistTrain.Training.Native;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>The memory of one node of the reduction tree: a flat vector of gradient sums, laid out like the weights. It belongs to a <see cref="NodePool"/>.</summary>
public abstract class NodeBuffer
{
    /// <summary>What is folded beside the sums.</summary>
    public NodeHeader Header { get; set; } = new(0, 0, []);

    /// <summary>Whether the sums accumulate in host memory: then <see cref="ToHost"/> shows them all the while.</summary>
    public virtual bool AccumulatesInHost => false;

    /// <summary>A view of the sums for every parameter, in the layout's order. Valid between <see cref="Clear"/> and <see cref="ToHost"/>.</summary>
    internal abstract Tensor[] Gradients { get; }

    /// <summary>The sums in host memory, final: nothing may be accumulated any more. Valid until the node is cleared or returned.</summary>
    public abstract NativeVector ToHost();

    /// <summary>Makes all sums 0, ready to be accumulated into.</summary>
    public abstract void Clear();

    /// <summary>Makes it the sum of no samples.</summary>
    /// <param name="metrics">How many metric sums the header has.</param>
    public void SetZero(int metrics)
    {
        Clear();
        Header = new NodeHeader(0, 0, new double[metrics]);
    }

    /// <summary>this += right, element by element; <paramref name="right"/> keeps its values.</summary>
    public void Add(NodeBuffer right)
    {
        AddValues(right);
        Header = NodeHeader.Add(Header, right.Header);
    }

    /// <summary>The sum of squares of the parameters' part, over its tiles in index order; a device adds in an order of its own, always the same.</summary>
    internal abstract double SumOfSquares(ParameterLayout layout);

    /// <summary>Adds to the part that belongs to the model's buffers.</summary>
    internal abstract void AddToBuffers(NativeVector changes);

    private protected abstract void AddValues(NodeBuffer right);
}
