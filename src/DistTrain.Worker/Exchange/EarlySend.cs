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
    private readonly List<(int Owner, int Index, Chunk Chunk)> _chunks = [];
    private readonly int[] _missing;
    private readonly bool[] _isSent;

    /// <summary>A node of which nothing is final.</summary>
    /// <param name="allReduce">The operation.</param>
    /// <param name="node">The node.</param>
    /// <param name="layout">Where the slots lie.</param>
    public EarlySend(AllReduce allReduce, CompletingNode node, ParameterLayout layout)
    {
        (_allReduce, _node, _slots) = (allReduce, node, layout.Slots);
        var end = 0L;
        for (var owner = 0; owner < allReduce.WorldSize; owner++)
        {
            for (var index = 0; index < allReduce.Shards.Chunks(owner).Count; index++)
            {
                // That of an empty shard lies nowhere; here it must lie between its neighbours.
                var chunk = allReduce.Shards.Chunks(owner)[index];
                _chunks.Add((owner, index, chunk with { FirstElement = end }));
                end += chunk.Count;
            }
        }

        (_missing, _isSent) = (new int[_chunks.Count], new bool[_chunks.Count]);
        foreach (var slot in _slots.Where(s => s.Kind != SlotKind.Frozen))
        {
            foreach (var chunk in ChunksOf(slot))
            {
                _missing[chunk]++;
            }
        }
    }

    /// <summary>Takes note that a slot of the block is final. Calls follow one another.</summary>
    public void TakeFinal(int slot)
    {
        foreach (var chunk in ChunksOf(_slots[slot]))
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

        // Own sums last: others wait for what they are sent.
        for (var i = 1; i <= _allReduce.WorldSize; i++)
        {
            var owner = (_allReduce.Rank + i) % _allReduce.WorldSize;
            for (var chunk = 0; chunk < _chunks.Count; chunk++)
            {
                if (_chunks[chunk].Owner == owner && !_isSent[chunk])
                {
                    Send(chunk);
                }
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

    /// <summary>The chunks that a slot lies in, which follow one another as the shards do.</summary>
    private IEnumerable<int> ChunksOf(Slot slot)
    {
        var (low, high) = (0, _chunks.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = _chunks[middle].Chunk.FirstElement + _chunks[middle].Chunk.Count <= slot.Offset ? (middle + 1, high) : (low, middle);
        }

        for (; slot.Count > 0 && low < _chunks.Count && _chunks[low].Chunk.FirstElement < slot.Offset + slot.Count; low++)
        {
            yield return low;
        }
    }
}
