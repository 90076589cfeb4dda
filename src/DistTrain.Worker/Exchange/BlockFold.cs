using DistTrain.Core.Reduction;
using DistTrain.Training.Replicas;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// The worker's half of a reduction: folds the blocks it computes, from left to right, and hands out each cover node as soon as it is complete. Node
/// memory is rented from a pool and kept until the operation is over, because a node may have to be sent again.
/// </summary>
internal sealed class BlockFold
{
    private readonly NodePool _pool;
    private readonly HashSet<NodeId> _cover;
    private readonly TreeFold<NodeBuffer> _fold;
    private readonly ReductionTree _tree;
    private readonly NodeId? _perWorker;
    private readonly List<NodeBuffer> _complete = [];
    private NodeBuffer? _sum;

    /// <summary>A fold of the canonical tree.</summary>
    public BlockFold(ReductionSpec spec, int rank, NodePool pool)
    {
        _pool = pool;
        _tree = spec.Tree;
        _cover = [.. spec.Covers[rank]];
        _fold = new TreeFold<NodeBuffer>(_tree, Add);
    }

    /// <summary>A fold that adds all blocks in a row, for <c>debug.foldPerWorker</c>.</summary>
    /// <param name="node">The name the sum gets.</param>
    /// <param name="pool">Where node memory comes from.</param>
    public BlockFold(NodeId node, NodePool pool)
    {
        _pool = pool;
        _cover = [];
        _fold = new TreeFold<NodeBuffer>(default, Add);
        _perWorker = node;
    }

    /// <summary>Takes a block.</summary>
    /// <returns>The cover node it completes; null where none is complete yet.</returns>
    public (NodeId Node, NodeBuffer Buffer)? Add(int block, NodeBuffer buffer)
    {
        if (_perWorker is not null)
        {
            _sum = _sum is null ? buffer : Add(_sum, buffer);
            return null;
        }

        var (node, sum) = _fold.Add(_tree.Leaf(block), buffer);
        if (!_cover.Contains(node))
        {
            return null;
        }

        _fold.Take(node, out _);
        _complete.Add(sum);
        return (node, sum);
    }

    /// <summary>What is left to send after the last block.</summary>
    /// <param name="createZero">Makes the sum of no blocks.</param>
    public (NodeId Node, NodeBuffer Buffer)? Finish(Func<NodeBuffer> createZero)
    {
        if (_perWorker is not { } node)
        {
            return null;
        }

        _sum ??= createZero();
        _complete.Add(_sum);
        return (node, _sum);
    }

    /// <summary>Gives all memory back.</summary>
    public void Release()
    {
        _complete.ForEach(_pool.Return);
        _complete.Clear();
    }

    private NodeBuffer Add(NodeBuffer left, NodeBuffer right)
    {
        left.Add(right);
        _pool.Return(right);
        return left;
    }
}
