using DistTrain.Core.Reduction;
using DistTrain.Training.Replicas;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// The worker's half of a reduction: folds the blocks it computes, from left to right, and hands out each cover node as soon as it is complete. Node
/// memory is rented from a pool and kept until the operation is over: a node may have to be sent again, to other members.
/// </summary>
internal sealed class BlockFold
{
    private readonly NodePool _pool;
    private readonly HashSet<NodeId> _cover;
    private readonly TreeFold<NodeBuffer> _fold;
    private readonly ReductionTree _tree;
    private readonly NodeId? _perWorker;
    private readonly Dictionary<NodeId, NodeBuffer> _complete = [];
    private NodeBuffer? _sum;

    /// <summary>A fold of the canonical tree.</summary>
    /// <param name="spec">Which nodes each rank sends.</param>
    /// <param name="rank">The own rank.</param>
    /// <param name="pool">Where node memory comes from.</param>
    /// <param name="earlier">A fold of the same operation that broke off: the nodes of the own cover that it holds are taken over, all others given back.</param>
    public BlockFold(ReductionSpec spec, int rank, NodePool pool, BlockFold? earlier = null)
    {
        _pool = pool;
        _tree = spec.Tree;
        _cover = [.. spec.Covers[rank]];
        _fold = new TreeFold<NodeBuffer>(_tree, Add);
        if (earlier is not null)
        {
            TakeOver(earlier);
        }

        Kept = [.. _complete.Select(c => (c.Key, c.Value))];
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
        Kept = [];
    }

    /// <summary>Cover nodes that were complete from the start.</summary>
    public IReadOnlyList<(NodeId Node, NodeBuffer Buffer)> Kept { get; }

    /// <summary>The names of all complete nodes it holds, so that no two overlap.</summary>
    public IReadOnlyList<NodeId> Held => _perWorker is null ? [.. _complete.Keys, .. _fold.Waiting.Keys] : [];

    /// <summary>The name that the sum of a block has.</summary>
    public NodeId Leaf(int block) => _perWorker ?? _tree.Leaf(block);

    /// <summary>
    /// The sum that a block is going to be added to next, where it waits already: the block may then be accumulated on top of it. It is the caller's from now on, who hands it to
    /// <see cref="Add(NodeId, NodeBuffer)"/> or <see cref="TryBegin"/> under the name that both have together, or back to the pool.
    /// </summary>
    public (NodeId Node, NodeBuffer Sum)? TakeLeft(int block)
    {
        var leaf = Leaf(block);
        return _perWorker is null && leaf != _tree.Root && !leaf.IsLeft && _fold.Take(leaf.Sibling, out var left) ? (_tree.Canonical(leaf.Parent), left!) : null;
    }

    /// <summary>Takes the sum of a block, or of one and what it was accumulated on.</summary>
    /// <returns>The cover node it completes; null where none is complete yet.</returns>
    public (NodeId Node, NodeBuffer Buffer)? Add(NodeId name, NodeBuffer buffer)
    {
        if (_perWorker is not null)
        {
            _sum = _sum is null ? buffer : Add(_sum, buffer);
            return null;
        }

        var (node, sum) = _fold.Add(name, buffer);
        if (!_cover.Contains(node))
        {
            return null;
        }

        _fold.Take(node, out _);
        _complete.Add(node, sum);
        return (node, sum);
    }

    /// <summary>
    /// The cover node that a block is going to complete, so that it can be completed in parts while the block is still computed. Nothing of it is held until then: what it is made of is
    /// the caller's, who hands it to <see cref="Complete"/> or <see cref="Drop"/>.
    /// </summary>
    /// <param name="name">The block, or what it makes together with the sum it is accumulated on.</param>
    /// <param name="buffer">Where it is going to be accumulated.</param>
    /// <returns>Null where it completes none, or where sums do not lie in host memory; then it is for <see cref="Add(NodeId, NodeBuffer)"/>.</returns>
    public CompletingNode? TryBegin(NodeId name, NodeBuffer buffer)
    {
        if (_perWorker is not null)
        {
            return null;
        }

        var (node, path) = (name, new List<NodeBuffer> { buffer });
        while (node != _tree.Root && !node.IsLeft && _fold.Waiting.TryGetValue(node.Sibling, out var left))
        {
            path.Add(left);
            node = _tree.Canonical(node.Parent);
        }

        if (!_cover.Contains(node) || _fold.Waiting.ContainsKey(node.Sibling) || path.Exists(p => !p.AccumulatesInHost))
        {
            return null;
        }

        foreach (var waiting in _fold.Waiting.Where(w => path.Contains(w.Value)).Select(w => w.Key).ToList())
        {
            _fold.Take(waiting, out _);
        }

        return new CompletingNode(node, path);
    }

    /// <summary>Holds a node that is complete.</summary>
    public void Complete(CompletingNode node)
    {
        _complete.Add(node.Node, node.Sum);
        Return(node.Path.SkipLast(1));
    }

    /// <summary>Gives back the memory of a node that was not completed: its sums are no node's any more.</summary>
    public void Drop(CompletingNode node) => Return(node.Path);

    /// <summary>What is left to send after the last block.</summary>
    /// <param name="createZero">Makes the sum of no blocks.</param>
    public (NodeId Node, NodeBuffer Buffer)? Finish(Func<NodeBuffer> createZero)
    {
        if (_perWorker is not { } node)
        {
            return null;
        }

        _sum ??= createZero();
        return (node, _sum);
    }

    /// <summary>Gives all memory back.</summary>
    public void Release()
    {
        Return(_complete.Values.Concat(_fold.Waiting.Values));

        if (_sum is not null)
        {
            _pool.Return(_sum);
            _sum = null;
        }

        _complete.Clear();
        _fold.Clear();
    }

    private void TakeOver(BlockFold earlier)
    {
        foreach (var node in _cover)
        {
            if (earlier._complete.Remove(node, out var buffer) || earlier._fold.Take(node, out buffer))
            {
                _complete.Add(node, buffer!);
            }
        }

        earlier.Release();
    }

    private void Return(IEnumerable<NodeBuffer> buffers)
    {
        foreach (var buffer in buffers)
        {
            _pool.Return(buffer);
        }
    }

    private NodeBuffer Add(NodeBuffer left, NodeBuffer right)
    {
        left.Add(right);
        _pool.Return(right);
        return left;
    }
}
