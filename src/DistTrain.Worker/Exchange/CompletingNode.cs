using DistTrain.Core.Reduction;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// A block that is being computed and the node that it completes: what waits left of it is added to it, one sum after the other, up to that node. As soon as some elements of the block are final, so
/// may be those of the node.
/// </summary>
internal sealed class CompletingNode
{
    // The block, then each sum that it is added to.
    private readonly NativeVector[] _chain;

    /// <summary>A node of which nothing is final.</summary>
    /// <param name="name">What the block is, together with the sum that it is accumulated on.</param>
    /// <param name="block">Where it is accumulated.</param>
    /// <param name="lefts">The sums it is added to, from the lowest: each is the left sibling of all before it.</param>
    /// <param name="node">What all of them are together.</param>
    /// <param name="place">Where the node's sums are to lie; null for the memory of the last that is added.</param>
    public CompletingNode(NodeId name, NodeBuffer block, IReadOnlyList<(NodeId Node, NodeBuffer Sum)> lefts, NodeId node, NativeVector? place = null)
    {
        (Name, Block, Lefts, Node, Place) = (name, block, lefts, node, place);
        _chain = FoldsInParts ? [block.ToHost(), .. lefts.Select(left => left.Sum.ToHost())] : [];
    }

    /// <summary>What the block is, together with the sum that it is accumulated on.</summary>
    public NodeId Name { get; }

    /// <summary>Where the block is accumulated.</summary>
    public NodeBuffer Block { get; }

    /// <summary>The sums it is added to, from the lowest.</summary>
    public IReadOnlyList<(NodeId Node, NodeBuffer Sum)> Lefts { get; }

    /// <summary>The node.</summary>
    public NodeId Node { get; }

    /// <summary>Where the node's sums lie, if not in the memory of what is added: that stays as it is.</summary>
    public NativeVector? Place { get; }

    /// <summary>Whether the block is accumulated on top of a sum.</summary>
    public bool IsOnTop { get; init; }

    /// <summary>Whether the node is sent, as one of the worker's cover.</summary>
    public bool IsCover { get; init; }

    /// <summary>Whether elements can be made final while the block is computed.</summary>
    public bool FoldsInParts => Block.AccumulatesInHost;

    /// <summary>Whether anything was written to <see cref="Sum"/> but what the block is accumulated to.</summary>
    public bool IsBegun { get; private set; }

    /// <summary>The memory of the last that is added, where the node's sums come to lie unless there is a <see cref="Place"/> for them.</summary>
    public NodeBuffer Sum => Lefts.Count > 0 ? Lefts[^1].Sum : Block;

    /// <summary>The node's sums; only what was folded of them is final.</summary>
    public NativeVector Values => Place ?? Sum.ToHost();

    /// <summary>The node's header, when the block's is final.</summary>
    public NodeHeader Header { get; private set; } = new(0, 0, []);

    /// <summary>Makes elements of the node final, each once; where it does not fold in parts, <see cref="FoldRest"/> makes all. They have the bits of the canonical tree, and what is added is only read.</summary>
    /// <param name="first">The first; those of the block are final.</param>
    /// <param name="count">How many.</param>
    public void Fold(long first, long count)
    {
        if (_chain.Length > 1)
        {
            IsBegun = true;
            NativeVector.AddChain(_chain, first, count, Values);
        }
    }

    /// <summary>Makes final what is no part, now that the block is: the header, and all sums where they are folded as a whole.</summary>
    public void FoldRest()
    {
        Header = Lefts.Aggregate(Block.Header, (right, left) => NodeHeader.Add(left.Sum.Header, right));
        if (FoldsInParts)
        {
            return;
        }

        IsBegun = true;
        var right = Block;
        foreach (var (_, left) in Lefts)
        {
            left.Add(right);
            right = left;
        }
    }

    /// <summary>Makes all of the node final, now that the block is.</summary>
    public void FoldAll()
    {
        FoldRest();
        if (FoldsInParts)
        {
            Fold(0, Values.Count);
        }
    }
}
