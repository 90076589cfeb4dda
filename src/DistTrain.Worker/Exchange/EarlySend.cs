using DistTrain.Core.Layouts;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// Sends a cover node chunk by chunk while the backward pass of its last block still runs: a chunk goes when all slots it lies in are final. Chunk 0 of every shard carries the header, which is known at
/// the end only.
/// </summary>
internal sealed class EarlySend
{
    private readonly AllReduce _allReduce;
    private readonly CompletingNode _node;
    private readonly IReadOnlyList<Slot> _slots;
    private readonly (int Owner, int Index, Chunk Chunk)[] _chunks;
    private readonly int[] _missing;
    private readonly bool[] _isSent;

    /// <summary>A node of which nothing is final.</summary>
    /// <param name="allReduce">The operation.</param>
    /// <param name="node">The node.</param>
    /// <param name="layout">Where the slots lie.</param>
    public EarlySend(AllReduce allReduce, CompletingNode node, ParameterLayout layout)
    {
        (_allReduce, _node, _slots) = (allReduce, node, layout.Slots);
        _chunks = new (int, int, Chunk)[Enumerable.Range(0, allReduce.WorldSize).Sum(owner => allReduce.Shards.Chunks(owner).Count)];
        var (end, next) = (0L, 0);
        for (var owner = 0; owner < allReduce.WorldSize; owner++)
        {
            for (var index = 0; index < allReduce.Shards.Chunks(owner).Count; index++)
            {
                // That of an empty shard lies nowhere; here it must lie between its neighbours.
                var chunk = allReduce.Shards.Chunks(owner)[index];
                _chunks[next++] = (owner, index, chunk with { FirstElement = end });
                end += chunk.Count;
            }
        }

        (_missing, _isSent) = (new int[_chunks.Length], new bool[_chunks.Length]);
        foreach (var slot in _slots)
        {
            var (first, past) = slot.Kind == SlotKind.Frozen ? default : ChunksOf(slot);
            for (var chunk = first; chunk < past; chunk++)
            {
                _missing[chunk]++;
            }
        }
    }

    /// <summary>Takes note that a slot of the block is final. Calls follow one another.</summary>
    public void TakeFinal(int slot)
    {
        var (first, past) = ChunksOf(_slots[slot]);
        for (var chunk = first; chunk < past; chunk++)
        {
            _missing[chunk]--;
            if (_missing[chunk] == 0 && _chunks[chunk].Index > 0)
            {
                Send(chunk);
            }
        }
    }

    /// <summary>Sends what is left, now that the whole block is final.</summary>
    public void Finish()
    {
        _node.FoldHeader();

        // Own sums last: others wait for what they are sent. Chunks lie in the order of their owners.
        var others = Array.FindLastIndex(_chunks, c => c.Owner == _allReduce.Rank) + 1;
        for (var i = 0; i < _chunks.Length; i++)
        {
            var chunk = (others + i) % _chunks.Length;
            if (!_isSent[chunk])
            {
                Send(chunk);
            }
        }
    }

    private void Send(int number)
    {
        var (owner, index, chunk) = _chunks[number];
        _isSent[number] = true;
        _node.Fold(chunk.FirstElement, chunk.Count);
        _allReduce.Offer(_node.Node, _node.Sum.ToHost(), index == 0 ? _node.Sum.Header : null, owner, index..(index + 1));
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
