using DistTrain.Core.Reduction;
using DistTrain.Protocol.Exchange;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// The folds of a shard's chunks, kept with the vector that they end in: a step makes none anew. They belong to the last operation that took them, as the vector does.
/// </summary>
internal sealed class ChunkFolds
{
    private readonly List<ChunkFold> _folds = [];
    private ReductionTree _tree;

    /// <summary>Empty folds, one for each chunk.</summary>
    /// <param name="tree">The operation's tree.</param>
    /// <param name="chunks">How many chunks the shard has.</param>
    /// <param name="nodes">How many nodes each of them gets.</param>
    /// <param name="add">Chunk, left, right -> sum.</param>
    public IReadOnlyList<ChunkFold> Take(ReductionTree tree, int chunks, int nodes, Func<int, ChunkPayload, ChunkPayload, ChunkPayload> add)
    {
        if (tree != _tree || chunks < _folds.Count)
        {
            _folds.ForEach(f => f.Forget());
            _folds.Clear();
            _tree = tree;
        }

        while (_folds.Count < chunks)
        {
            _folds.Add(new ChunkFold(tree, _folds.Count));
        }

        foreach (var fold in _folds)
        {
            fold.Begin(nodes, add);
        }

        return _folds;
    }
}

/// <summary>The fold of one chunk.</summary>
internal sealed class ChunkFold
{
    private readonly List<ChunkPayload> _places = [];
    private Func<int, ChunkPayload, ChunkPayload, ChunkPayload>? _add;
    private int _placed;

    /// <summary>A fold that is begun with <see cref="Begin"/>.</summary>
    public ChunkFold(ReductionTree tree, int index) => Sums = new TreeFold<ChunkPayload>(tree, (left, right) => _add!(index, left, right));

    /// <summary>What was added.</summary>
    public TreeFold<ChunkPayload> Sums { get; }

    /// <summary>Nodes that are still to come.</summary>
    public int Missing { get; set; }

    /// <summary>A place in a vector, which must stay as it is until the operation is over: each operation names as many as the last, by the same payloads.</summary>
    public unsafe ChunkPayload Place(float* source, int count)
    {
        if (_placed == _places.Count)
        {
            _places.Add(ChunkPayload.Movable());
        }

        return _places[_placed++].Move(source, count);
    }

    /// <summary>Begins anew.</summary>
    public void Begin(int nodes, Func<int, ChunkPayload, ChunkPayload, ChunkPayload> add)
    {
        Forget();
        (_add, Missing, _placed) = (add, nodes, 0);
    }

    /// <summary>Gives back what waits still, where the operation was abandoned: a collector that sees none of that memory would leave it lying.</summary>
    public void Forget()
    {
        foreach (var waiting in Sums.Waiting.Values)
        {
            waiting.Dispose();
        }

        Sums.Clear();
    }
}
