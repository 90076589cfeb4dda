using System.Collections;
using DistTrain.Core.Layouts;
using DistTrain.Core.Numerics;
using DistTrain.Core.Reduction;
using DistTrain.Protocol.Exchange;
using DistTrain.Training.Native;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// The owner's half of a reduction: folds the slices that all ranks send of one shard. Every chunk of the shard is a fold of its own, so that its sum
/// travels back while later chunks still arrive; what comes out of tree order waits in rented memory.
/// </summary>
internal sealed class ShardFold
{
    private readonly IReadOnlyList<Chunk> _chunks;
    private readonly Dictionary<NodeId, (int Rank, BitArray Received)> _expected = [];
    private readonly IReadOnlyList<ChunkFold> _folds;
    private readonly TreeFold<NodeHeader> _headers;
    private readonly NodeId _root;
    private readonly int _metrics;
    private readonly Func<int, ChunkPayload> _target;
    private readonly Action<int, ChunkPayload, NodeHeader?> _onRoot;
    private ChunkPayload? _firstChunk;
    private NodeHeader? _rootHeader;

    /// <summary>A fold that has received nothing.</summary>
    /// <param name="spec">Which nodes will come, and from whom.</param>
    /// <param name="chunks">The shard's chunks.</param>
    /// <param name="metrics">How many metric sums every header has.</param>
    /// <param name="target">Where a chunk's sum is to lie in the end.</param>
    /// <param name="onRoot">Called once per chunk with its sum, and with the root's header for chunk 0; it may keep neither.</param>
    /// <param name="folds">What was folded in before.</param>
    public ShardFold(
        ReductionSpec spec, IReadOnlyList<Chunk> chunks, int metrics, Func<int, ChunkPayload> target, Action<int, ChunkPayload, NodeHeader?> onRoot, ChunkFolds folds)
    {
        _target = target;
        _chunks = chunks;
        _onRoot = onRoot;
        _metrics = metrics;
        _root = spec.Tree.Root;
        _headers = new TreeFold<NodeHeader>(spec.Tree, NodeHeader.Add);
        for (var rank = 0; rank < spec.Covers.Count; rank++)
        {
            foreach (var node in spec.Covers[rank])
            {
                _expected.Add(node, (rank, new BitArray(chunks.Count)));
            }
        }

        _folds = folds.Take(spec.Tree, chunks.Count, _expected.Count, Add);
    }

    /// <summary>A payload for a place in a vector that belongs to a chunk of the shard: the own node's numbers, or where the sum is to lie.</summary>
    public unsafe ChunkPayload Place(int index, NativeVector vector)
    {
        lock (_folds[index])
        {
            return _folds[index].Place(vector.Data + _chunks[index].FirstElement, _chunks[index].Count);
        }
    }

    /// <summary>Takes one chunk of one node.</summary>
    /// <param name="rank">Who sent it.</param>
    /// <param name="node">The node.</param>
    /// <param name="index">Which chunk of the shard.</param>
    /// <param name="payload">The numbers; they belong to the fold from here on.</param>
    /// <param name="header">The node's header; with chunk 0 and only there.</param>
    /// <returns>Why it was refused, before anything was touched; null where it was taken.</returns>
    public string? Take(int rank, NodeId node, int index, ChunkPayload payload, NodeHeader? header)
    {
        if (!_expected.TryGetValue(node, out var expected) || expected.Rank != rank)
        {
            return $"node {node} is not in the plan of rank {rank}";
        }

        if (index < 0 || index >= _chunks.Count)
        {
            return $"chunk {index} of node {node} is not in a shard of {_chunks.Count} chunks";
        }

        if (payload.Count != _chunks[index].Count)
        {
            return $"chunk {index} of node {node} holds {payload.Count} numbers instead of {_chunks[index].Count}";
        }

        if ((header is not null) != (index == 0))
        {
            return $"chunk {index} of node {node} comes {(header is null ? "without its" : "with a")} header";
        }

        if (header is not null && Refuse(header, _metrics) is { } refusal)
        {
            return $"node {node} {refusal}";
        }

        lock (expected.Received)
        {
            if (expected.Received[index])
            {
                return $"chunk {index} of node {node} came twice";
            }

            expected.Received[index] = true;
        }

        NodeHeader? rootHeader = null;
        if (header is not null)
        {
            lock (_headers)
            {
                rootHeader = _headers.Add(node, header) is var (top, sum) && top == _root ? sum : null;
            }
        }

        var fold = _folds[index];
        ChunkPayload? root = null;
        lock (fold)
        {
            fold.Missing--;
            payload = payload.IsPassing && (node == _root || !fold.Sums.Waiting.ContainsKey(node.Sibling)) ? payload.Copy() : payload;
            root = fold.Sums.Add(node, payload).Node == _root && fold.Sums.Take(_root, out var sum) ? sum : null;
        }

        if (index == 0)
        {
            CompleteFirstChunk(root, rootHeader);
        }
        else if (root is not null)
        {
            _onRoot(index, root, null);
        }

        return null;
    }

    /// <summary>Why a header cannot be added to others; null where it can.</summary>
    internal static string? Refuse(NodeHeader header, int metrics) =>
        header.MetricSums.Count != metrics ? $"comes with {header.MetricSums.Count} metric sums instead of {metrics}"
        : header.Weight is < 0 or > long.MaxValue >> ReductionTree.MaxLevel ? $"comes with weight {header.Weight}"
        : null;

    /// <summary>Chunk 0 needs both: whichever thread brings the second one goes on.</summary>
    private void CompleteFirstChunk(ChunkPayload? root, NodeHeader? header)
    {
        lock (_headers)
        {
            _firstChunk = root ?? _firstChunk;
            _rootHeader = header ?? _rootHeader;
            if ((root is null && header is null) || _firstChunk is null || _rootHeader is null)
            {
                return;
            }
        }

        _onRoot(0, _firstChunk, _rootHeader);
    }

    private ChunkPayload Add(int index, ChunkPayload left, ChunkPayload right)
    {
        // Addition of two numbers is commutative to the bit, so the sum may lie in either one's memory; memory that is not the fold's own is a worker's node, which
        // must stay as it is, or the transport's. What the last node completes is all on the way to the root, and may lie where that is to be.
        var sum = _folds[index].Missing == 0 ? _target(index) : left.IsOwned ? left : right.IsOwned ? right : ChunkPayload.Rent(left.Count);
        VectorKernels.Add(left.Values, right.Values, sum.Values);
        foreach (var operand in (ReadOnlySpan<ChunkPayload>)[left, right])
        {
            if (operand != sum)
            {
                operand.Dispose();
            }
        }

        return sum;
    }
}
