using DistTrain.Core.Layouts;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// Folds and sends cover nodes chunk by chunk, where it is told of slots that are final while the backward pass of their last block still runs: a chunk goes when all slots it lies in are. Chunk 0 of
/// every shard carries the header, which is known at the end only. One node at a time; what it needs to know of the vector is found once.
/// </summary>
internal sealed class NodeSend
{
    private readonly IReadOnlyList<Slot> _slots;
    private readonly (int Owner, int Index, Chunk Chunk)[] _chunks;
    private readonly int[] _firstOf;
    private readonly int[] _slotsOf;
    private readonly int[] _missing;
    private readonly bool[] _isSent;
    private AllReduce _allReduce = null!;
    private CompletingNode _node = null!;

    /// <summary>For nodes of one layout, cut in one way.</summary>
    /// <param name="shards">How the vector is cut.</param>
    /// <param name="layout">Where the slots lie; null where nodes are a header only.</param>
    public NodeSend(ShardTable shards, ParameterLayout? layout)
    {
        (Shards, _slots) = (shards, layout?.Slots ?? []);
        _firstOf = new int[shards.WorldSize + 1];
        for (var owner = 0; owner < shards.WorldSize; owner++)
        {
            _firstOf[owner + 1] = _firstOf[owner] + shards.Chunks(owner).Count;
        }

        _chunks = new (int, int, Chunk)[_firstOf[^1]];
        var (end, next) = (0L, 0);
        for (var owner = 0; owner < shards.WorldSize; owner++)
        {
            for (var index = 0; index < shards.Chunks(owner).Count; index++)
            {
                // That of an empty shard lies nowhere; here it must lie between its neighbours.
                var chunk = shards.Chunks(owner)[index];
                _chunks[next++] = (owner, index, chunk with { FirstElement = end });
                end += chunk.Count;
            }
        }

        (_slotsOf, _missing, _isSent) = (new int[_chunks.Length], new int[_chunks.Length], new bool[_chunks.Length]);
        foreach (var slot in _slots)
        {
            var (first, past) = slot.Kind == SlotKind.Frozen ? default : ChunksOf(slot);
            for (var chunk = first; chunk < past; chunk++)
            {
                _slotsOf[chunk]++;
            }
        }
    }

    /// <summary>How the vector is cut.</summary>
    public ShardTable Shards { get; }

    /// <summary>Begins a node, of which nothing is final.</summary>
    /// <param name="allReduce">The operation.</param>
    /// <param name="node">The node.</param>
    public void Begin(AllReduce allReduce, CompletingNode node)
    {
        (_allReduce, _node) = (allReduce, node);
        _slotsOf.CopyTo(_missing, 0);
        Array.Clear(_isSent);
    }

    /// <summary>Takes note that a slot of the block is final. Calls follow one another.</summary>
    public void TakeFinal(int slot)
    {
        var (first, past) = ChunksOf(_slots[slot]);
        for (var chunk = first; chunk < past; chunk++)
        {
            _missing[chunk]--;
        }

        SendInTurns(first, past, isWhole: false);
    }

    /// <summary>Sends what is left, now that the whole block is final.</summary>
    public void Finish()
    {
        _node.FoldRest();
        SendInTurns(0, _chunks.Length, isWhole: true);
    }

    /// <summary>
    /// Sends what may be sent of a run of chunks, one to each owner in turns: one after the other would have all the others wait for one link, and all workers begin with the same owner. Own sums are
    /// the last: others wait for what they are sent.
    /// </summary>
    private void SendInTurns(int first, int past, bool isWhole)
    {
        if (first == past)
        {
            return;
        }

        var (low, rank) = (_chunks[first].Owner, _allReduce.Rank);
        var owners = _chunks[past - 1].Owner + 1 - low;
        var isLeft = true;
        for (var turn = 0; isLeft; turn++)
        {
            isLeft = false;
            for (var i = 1; i <= owners; i++)
            {
                var owner = low + ((rank + i) % owners);
                isLeft |= owner != rank && Take(owner, turn);
            }
        }

        isLeft = rank >= low && rank < low + owners;
        for (var turn = 0; isLeft; turn++)
        {
            isLeft = Take(rank, turn);
        }

        // Whether the owner has so many chunks in the run; that one is sent if it may be.
        bool Take(int owner, int turn)
        {
            var chunk = Math.Max(first, _firstOf[owner]) + turn;
            if (chunk >= Math.Min(past, _firstOf[owner + 1]))
            {
                return false;
            }

            if (!_isSent[chunk] && (isWhole || (_missing[chunk] == 0 && _chunks[chunk].Index > 0)))
            {
                Send(chunk);
            }

            return true;
        }
    }

    private void Send(int number)
    {
        var (owner, index, chunk) = _chunks[number];
        _isSent[number] = true;
        _node.Fold(chunk.FirstElement, chunk.Count);
        _allReduce.Offer(_node.Node, _node.Values, index == 0 ? _node.Header : null, owner, index..(index + 1));
    }

    /// <summary>The first of the chunks that a slot lies in, which follow one another as the shards do, and the one behind the last.</summary>
    private (int First, int Past) ChunksOf(Slot slot)
    {
        var (low, high) = (0, _chunks.Length);
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = _chunks[middle].Chunk.FirstElement + _chunks[middle].Chunk.Count <= slot.Offset ? (middle + 1, high) : (low, middle);
        }

        var past = low;
        while (slot.Count > 0 && past < _chunks.Length && _chunks[past].Chunk.FirstElement < slot.Offset + slot.Count)
        {
            past++;
        }

        return (low, past);
    }
}
