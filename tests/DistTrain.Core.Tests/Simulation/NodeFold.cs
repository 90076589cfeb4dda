using DistTrain.Core.Reduction;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>A worker's half of a reduction: adds the blocks it computes, hands out cover nodes, and keeps all of it for the generation after.</summary>
internal sealed class NodeFold
{
    private readonly ReductionTree _tree;
    private readonly HashSet<NodeId> _cover;
    private readonly TreeFold<Gradient> _fold;
    private readonly Dictionary<NodeId, Gradient> _complete = [];

    /// <summary>A fold that goes on from the nodes of its cover that an earlier one of the same operation holds.</summary>
    public NodeFold(ReductionTree tree, IReadOnlyList<NodeId> cover, NodeFold? earlier)
    {
        (_tree, _cover, _fold) = (tree, [.. cover], new TreeFold<Gradient>(tree, Gradient.Add));
        if (earlier is not null)
        {
            foreach (var node in cover)
            {
                if (earlier._complete.Remove(node, out var sum) || earlier._fold.Take(node, out sum))
                {
                    _complete.Add(node, sum!);
                }
            }
        }

        Kept = [.. _complete];
    }

    /// <summary>Cover nodes that were complete from the start.</summary>
    public IReadOnlyList<KeyValuePair<NodeId, Gradient>> Kept { get; }

    /// <summary>All complete nodes it holds; no two overlap.</summary>
    public IReadOnlyList<NodeId> Held => [.. _complete.Keys, .. _fold.Waiting.Keys];

    /// <summary>Takes a block.</summary>
    /// <returns>The cover node it completes; null where none is complete yet.</returns>
    public (NodeId Node, Gradient Sum)? Add(int block, Gradient gradient)
    {
        var (node, sum) = _fold.Add(_tree.Leaf(block), gradient);
        if (!_cover.Contains(node))
        {
            return null;
        }

        _fold.Take(node, out _);
        _complete.Add(node, sum);
        return (node, sum);
    }
}
