using System.Collections;
using DistTrain.Core.Layouts;
using DistTrain.Core.Numerics;
using DistTrain.Core.Reduction;
using DistTrain.Protocol.Exchange;
using DistTrain.Training.Native;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// One operation's all-reduce as one rank sees it. Every rank sends each of its cover nodes, cut into parameter shards, to the shards' owners as soon
/// as it is complete (reduce-scatter); every owner folds its shard to the root and sends the sum to all (all-gather).
/// </summary>
/// <remarks>
/// Guarantees: the result has the same bits at every rank, and depends on the blocks and their number only. It is whole when every owner, the
/// worker itself included, has contributed all chunks of its shard, be they empty.
/// </remarks>
internal sealed class AllReduce
{
    private readonly int _rank;
    private readonly TileTable? _tiles;
    private readonly int _metrics;
    private readonly ReducedVector _reduced;
    private readonly IPeerLinks _links;
    private readonly ShardFold _fold;
    private readonly BitArray[] _received;
    private readonly NodeHeader?[] _headers;
    private readonly TaskCompletionSource<NodeHeader> _whole = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _missing;

    /// <summary>An all-reduce that has received nothing.</summary>
    /// <param name="operation">The operation's number.</param>
    /// <param name="weightsHash">First half of the hash of the weights all nodes are computed from.</param>
    /// <param name="rank">The own rank.</param>
    /// <param name="spec">Which nodes come from whom.</param>
    /// <param name="shards">How the vector is cut.</param>
    /// <param name="tiles">The vector's tiles; null where there is no vector.</param>
    /// <param name="metrics">How many metric sums every header has.</param>
    /// <param name="reduced">Where the result goes.</param>
    /// <param name="links">The way to the other ranks.</param>
    public AllReduce(
        ulong operation, ulong weightsHash, int rank, ReductionSpec spec, ShardTable shards, TileTable? tiles, int metrics, ReducedVector reduced,
        IPeerLinks links)
    {
        Operation = operation;
        WeightsHash = weightsHash;
        _rank = rank;
        Shards = shards;
        _tiles = tiles;
        _metrics = metrics;
        _reduced = reduced;
        _links = links;
        _fold = new ShardFold(spec, shards.Chunks(rank), metrics, OwnTarget, CompleteOwnChunk, reduced.Folds);
        var counts = Enumerable.Range(0, shards.WorldSize).Select(r => shards.Chunks(r).Count).ToArray();
        IsWorthEarlySends = counts.Length > 1 && counts.Max() > 1;
        _received = [.. counts.Select(c => new BitArray(c))];
        _headers = new NodeHeader?[shards.WorldSize];
        _missing = counts.Sum();
    }

    /// <summary>The operation's number.</summary>
    public ulong Operation { get; }

    /// <summary>First half of the hash of the weights all nodes are computed from.</summary>
    public ulong WeightsHash { get; }

    /// <summary>The own rank.</summary>
    public int Rank => _rank;

    /// <summary>How many ranks there are.</summary>
    public int WorldSize => Shards.WorldSize;

    /// <summary>How the vector is cut.</summary>
    public ShardTable Shards { get; }

    /// <summary>Whether anything could be sent of a node before the whole of it is final: chunk 0 of a shard could not.</summary>
    public bool IsWorthEarlySends { get; }

    /// <summary>The root's header, when the result is whole.</summary>
    public Task<NodeHeader> Whole => _whole.Task;

    /// <summary>Takes a node that this worker completed. Its memory must stay as it is until the result is whole.</summary>
    public void Offer(NodeId node, NativeVector values, NodeHeader header)
    {
        // Own sums last: others wait for what they are sent.
        for (var i = 1; i <= WorldSize; i++)
        {
            var owner = (_rank + i) % WorldSize;
            Offer(node, values, header, owner, ..Shards.Chunks(owner).Count);
        }
    }

    /// <summary>Takes chunks of a node that this worker completes. Their memory must stay as it is until the result is whole.</summary>
    /// <param name="node">The node.</param>
    /// <param name="values">Its sums; only those of the chunks need be final.</param>
    /// <param name="header">Its header; may be null where chunk 0 is not among them.</param>
    /// <param name="owner">In whose shard they are.</param>
    /// <param name="chunks">Which of its chunks.</param>
    public void Offer(NodeId node, NativeVector values, NodeHeader? header, int owner, Range chunks)
    {
        if (owner != _rank)
        {
            _links.SendNode(Operation, WeightsHash, node, values, header, Shards, owner, chunks);
            return;
        }

        for (var index = chunks.Start.Value; index < chunks.End.Value; index++)
        {
            if (_fold.Take(_rank, node, index, _fold.Place(index, values), index == 0 ? header : null) is { } refusal)
            {
                throw new InvalidOperationException($"The own {refusal}.");
            }
        }
    }

    /// <summary>Takes a chunk of another rank's node.</summary>
    /// <returns>Why it was refused; null where it was taken, then the payload is the fold's.</returns>
    public string? TakeNode(int rank, NodeId node, ulong weightsHash, int chunk, ChunkPayload payload, NodeHeader? header) =>
        weightsHash == WeightsHash
            ? _fold.Take(rank, node, chunk, payload, header)
            : $"node {node} was computed from weights {weightsHash:x16}, not from {WeightsHash:x16}";

    /// <summary>Where the numbers of a chunk of another rank's reduced shard may be received, so that they need not be copied: what is written there counts when the chunk is taken.</summary>
    /// <returns>False where such a chunk would be refused.</returns>
    public bool TryPlace(int owner, int index, int count, IReadOnlyList<double> tileSquares, NodeHeader? header, ChunkPayload place)
    {
        if (Refuse(owner, index, count, tileSquares, header) is not null)
        {
            return false;
        }

        PeerGroup.Payload(_reduced.Values, Shards.Chunks(owner)[index], place);
        return true;
    }

    /// <summary>Takes a chunk of another rank's reduced shard. The payload stays the caller's.</summary>
    /// <returns>Why it was refused, before anything was touched; null where it was taken.</returns>
    public string? TakeShardChunk(int owner, int index, ChunkPayload payload, IReadOnlyList<double> tileSquares, NodeHeader? header)
    {
        if (Refuse(owner, index, payload.Count, tileSquares, header) is { } refusal)
        {
            return refusal;
        }

        var chunk = Shards.Chunks(owner)[index];
        lock (_received[owner])
        {
            _received[owner][index] = true;
        }

        if (payload.Values != Target(chunk))
        {
            payload.Values.CopyTo(Target(chunk));
        }

        for (var tile = chunk.FirstTile; tile < chunk.EndTile; tile++)
        {
            _reduced.TileSquares[tile] = tileSquares[tile - chunk.FirstTile];
        }

        Arrived(owner, header);
        return null;
    }

    /// <summary>Ends the wait of whoever waits for the result.</summary>
    public void Abandon(Exception reason) => _whole.TrySetException(reason);

    /// <summary>Why a chunk of a reduced shard cannot be taken. An owner's chunks come one after the other.</summary>
    private string? Refuse(int owner, int index, int count, IReadOnlyList<double> tileSquares, NodeHeader? header)
    {
        if (owner == _rank || index < 0 || index >= Shards.Chunks(owner).Count)
        {
            return $"chunk {index} is not in rank {owner}'s shard";
        }

        var chunk = Shards.Chunks(owner)[index];
        if (count != chunk.Count || tileSquares.Count != chunk.EndTile - chunk.FirstTile)
        {
            return $"chunk {index} of rank {owner}'s shard holds {count} numbers and {tileSquares.Count} norms "
                + $"instead of {chunk.Count} and {chunk.EndTile - chunk.FirstTile}";
        }

        if ((header is not null) != (index == 0))
        {
            return $"chunk {index} of rank {owner}'s shard comes {(header is null ? "without its" : "with a")} header";
        }

        if (header is not null && ShardFold.Refuse(header, _metrics) is { } refusal)
        {
            return $"rank {owner}'s shard {refusal}";
        }

        lock (_received[owner])
        {
            return _received[owner][index] ? $"chunk {index} of rank {owner}'s shard came twice" : null;
        }
    }

    private void CompleteOwnChunk(int index, ChunkPayload sum, NodeHeader? header)
    {
        var chunk = Shards.Chunks(_rank)[index];
        if (sum.Values != Target(chunk))
        {
            sum.Values.CopyTo(Target(chunk));
            sum.Dispose();
        }

        for (var tile = chunk.FirstTile; tile < chunk.EndTile; tile++)
        {
            _reduced.TileSquares[tile] = VectorKernels.SumOfSquares(_reduced.Values.Span(_tiles!.Start(tile), _tiles.Length(tile)));
        }

        var squares = _reduced.TileSquares.AsMemory(chunk.FirstTile, chunk.EndTile - chunk.FirstTile);
        _links.SendShardChunk(Operation, index, chunk, _reduced.Values, squares, header);
        Arrived(_rank, header);
    }

    private ChunkPayload OwnTarget(int index) => _fold.Place(index, _reduced.Values);

    private Span<float> Target(Chunk chunk) => _reduced.Values.Span(chunk.FirstElement, chunk.Count);

    private void Arrived(int owner, NodeHeader? header)
    {
        if (header is not null)
        {
            _headers[owner] = header;
        }

        if (Interlocked.Decrement(ref _missing) > 0)
        {
            return;
        }

        var root = _headers[0]!;
        if (Array.FindIndex(_headers, h => !h!.SameBits(root)) is var other and >= 0)
        {
            _whole.TrySetException(new InvalidDataException(
                $"Ranks 0 and {other} disagree in the loss or weight of operation {Operation}: memory or network of one of them is faulty."));
            return;
        }

        _whole.TrySetResult(root);
    }
}
