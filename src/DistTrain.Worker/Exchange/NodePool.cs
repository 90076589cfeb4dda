using DistTrain.Training.Replicas;

namespace DistTrain.Worker.Exchange;

/// <summary>Node memory that is used again from step to step: after the first, no step allocates any. Used by the compute thread alone.</summary>
/// <param name="create">Allocates one node.</param>
internal sealed class NodePool(Func<NodeBuffer> create) : IDisposable
{
    private readonly Stack<NodeBuffer> _free = [];
    private readonly List<NodeBuffer> _all = [];

    /// <summary>Memory of any content.</summary>
    public NodeBuffer Rent()
    {
        if (!_free.TryPop(out var node))
        {
            node = create();
            _all.Add(node);
        }

        return node;
    }

    /// <summary>Gives memory back.</summary>
    public void Return(NodeBuffer node) => _free.Push(node);

    /// <inheritdoc/>
    public void Dispose() => _all.ForEach(n => n.Dispose());
}
