using DistTrain.Core.Reduction;
using DistTrain.Training.Replicas;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// A cover node whose last block is being computed, in parts: as soon as some elements of the block are final, so are they of the node when the sums that wait on its path are added to.
/// </summary>
/// <param name="node">The node.</param>
/// <param name="path">The block, then the sums of what is left of it, from the lowest: each is the left sibling of all before it. The last one's memory is the node's.</param>
internal sealed class CompletingNode(NodeId node, IReadOnlyList<NodeBuffer> path)
{
    /// <summary>The node.</summary>
    public NodeId Node => node;

    /// <summary>The block, then what it is added to.</summary>
    public IReadOnlyList<NodeBuffer> Path => path;

    /// <summary>Where the node's sums come to lie.</summary>
    public NodeBuffer Sum => path[^1];

    /// <summary>Makes elements of the node final, each once, in the order and with the bits of the canonical tree.</summary>
    /// <param name="first">The first; those of the block are final.</param>
    /// <param name="count">How many.</param>
    public void Fold(long first, int count)
    {
        for (var i = 1; i < path.Count; i++)
        {
            path[i].AddPart(path[i - 1], first, count);
        }
    }

    /// <summary>Makes the node's header final; the block's is.</summary>
    public void FoldHeader()
    {
        for (var i = 1; i < path.Count; i++)
        {
            path[i].AddHeader(path[i - 1]);
        }
    }
}
