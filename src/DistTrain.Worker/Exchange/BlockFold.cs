using DistTrain.Core.Reduction;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// The worker's half of a reduction: folds the blocks it computes, from left to right, along the tree up to the nodes of its cover. Node memory is rented from a pool and kept until the operation is
/// over: a node may have to be sent again, to other members.
/// </summary>
internal sealed class BlockFold
{
    private readonly NodePool _pool;
    private readonly HashSet<NodeId> _cover;
    private readonly ReductionTree _tree;
    private readonly NativeVector? _rootPlace;
    private readonly NodeId? _perWorker;

    // What waits for its right sibling, and what is complete: a sum is always that of all its node's blocks.
    private readonly Dictionary<NodeId, NodeBuffer> _sums = [];
    private int _next;

    /// <summary>A fold of the canonical tree.</summary>
    /// <param name="spec">Which nodes each rank sends.</param>
    /// <param name="rank">The own rank.</param>
    /// <param name="pool">Where node memory comes from.</param>
    /// <param name="earlier">A fold of the same operation that broke off: the nodes of the own cover that it holds are taken over, all others given back.</param>
    /// <param name="rootPlace">Where the sum of all blocks is to lie in the end, where only this worker writes there; what it is added up from is kept then. Null where others do.</param>
    public BlockFold(ReductionSpec spec, int rank, NodePool pool, BlockFold? earlier = null, NativeVector? rootPlace = null)
    {
        _pool = pool;
        _tree = spec.Tree;
        _cover = [.. spec.Covers[rank]];
        _rootPlace = rootPlace;
        if (earlier is not null)
        {
            TakeOver(earlier);
        }

        Kept = [.. _sums.Select(s => (s.Key, s.Value))];
    }

    /// <summary>A fold that adds all blocks in a row, for <c>debug.foldPerWorker</c>.</summary>
    /// <param name="node">The name the sum gets.</param>
    /// <param name="pool">Where node memory comes from.</param>
    public BlockFold(NodeId node, NodePool pool)
    {
        _pool = pool;
        _cover = [];
        _perWorker = node;
        Kept = [];
    }

    /// <summary>Cover nodes that were complete from the start.</summary>
    public IReadOnlyList<(NodeId Node, NodeBuffer Buffer)> Kept { get; }

    /// <summary>The names of all nodes it holds, so that no two overlap.</summary>
    public IReadOnlyList<NodeId> Held => _perWorker is null ? [.. _sums.Keys] : [];

    /// <summary>Begins a block, which is handed back to <see cref="Complete"/> or <see cref="Drop"/>. Until then what it is added to is held, but for a sum that it is accumulated on.</summary>
    /// <param name="block">The block: they ascend.</param>
    /// <param name="onTop">Whether it may be accumulated on the sum it is going to be added to next, where that waits already.</param>
    public CompletingNode Begin(int block, bool onTop)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(block, _next);
        var name = _perWorker ?? _tree.Leaf(block);
        var sum = default(NodeBuffer);
        if (onTop && LeftOf(name) is { } below && _sums.Remove(below, out sum))
        {
            name = _tree.Canonical(name.Parent);
        }

        var (node, lefts) = (name, new List<(NodeId, NodeBuffer)>());
        while (LeftOf(node) is { } left)
        {
            lefts.Add((left, _sums[left]));
            node = _tree.Canonical(node.Parent);
        }

        if (_perWorker is not null && _sums.TryGetValue(name, out var row))
        {
            lefts.Add((name, row));
        }

        var buffer = sum ?? _pool.Rent();
        _next = block + 1;
        var place = buffer.AccumulatesInHost && node == _tree.Root && lefts.Count > 0 ? _rootPlace : null;
        return new CompletingNode(name, buffer, lefts, node, place) { IsOnTop = sum is not null, IsCover = _cover.Contains(node) };
    }

    /// <summary>Holds a node that is final, or what it was added up from where its sums lie in a place that is not the fold's.</summary>
    public void Complete(CompletingNode node)
    {
        if (node.Place is not null)
        {
            _sums.Add(node.Name, node.Block);
            return;
        }

        foreach (var (left, _) in node.Lefts)
        {
            _sums.Remove(left);
        }

        node.Sum.Header = node.Header;
        _sums.Add(node.Node, node.Sum);
        foreach (var buffer in node.Lefts.Select(left => left.Sum).Prepend(node.Block).SkipLast(1))
        {
            _pool.Return(buffer);
        }
    }

    /// <summary>Gives back the memory of a block that was not computed, and of the sum that a part of it was added to: they are no node's any more.</summary>
    public void Drop(CompletingNode node)
    {
        _pool.Return(node.Block);
        if (!node.IsBegun || node.Place is not null || node.Lefts.Count == 0)
        {
            return;
        }

        // Where sums are folded as a whole, each of them may be a part of the next.
        foreach (var (left, sum) in node.FoldsInParts ? node.Lefts.TakeLast(1) : node.Lefts)
        {
            _sums.Remove(left);
            _pool.Return(sum);
        }
    }

    /// <summary>What is left to send after the last block.</summary>
    /// <param name="createZero">Makes the sum of no blocks.</param>
    public (NodeId Node, NodeBuffer Buffer)? Finish(Func<NodeBuffer> createZero)
    {
        if (_perWorker is not { } node)
        {
            return null;
        }

        if (!_sums.TryGetValue(node, out var sum))
        {
            _sums.Add(node, sum = createZero());
        }

        return (node, sum);
    }

    /// <summary>Gives all memory back.</summary>
    public void Release()
    {
        foreach (var sum in _sums.Values)
        {
            _pool.Return(sum);
        }

        _sums.Clear();
    }

    /// <summary>The sum that a node is added to next, as its left sibling; null where that is not here, or the node is one to be sent.</summary>
    private NodeId? LeftOf(NodeId node) =>
        _perWorker is null && !_cover.Contains(node) && !node.IsLeft && _sums.ContainsKey(node.Sibling) ? node.Sibling : null;

    private void TakeOver(BlockFold earlier)
    {
        foreach (var node in _cover)
        {
            if (earlier._sums.Remove(node, out var sum))
            {
                _sums.Add(node, sum);
            }
        }

        earlier.Release();
    }
}
