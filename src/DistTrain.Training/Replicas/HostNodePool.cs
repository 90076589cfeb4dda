using DistTrain.Core.Layouts;
using DistTrain.Training.Native;

namespace DistTrain.Training.Replicas;

/// <summary>Nodes in host memory.</summary>
/// <param name="layout">What the nodes are laid out like; null for nodes that hold a header only.</param>
public sealed class HostNodePool(ParameterLayout? layout) : NodePool
{
    private readonly Stack<NodeBuffer> _free = [];
    private readonly List<HostNode> _all = [];

    /// <inheritdoc/>
    public override NodeBuffer Rent()
    {
        if (_free.TryPop(out var node))
        {
            return node;
        }

        _all.Add(Create());
        return _all[^1];
    }

    /// <inheritdoc/>
    public override void Return(NodeBuffer node) => _free.Push(node);

    /// <inheritdoc/>
    public override void Dispose() => _all.ForEach(n => n.Dispose());

    private HostNode Create()
    {
        var values = new NativeVector(layout?.Count ?? 0);
        var parameters = layout?.Slots.Where(s => s.Offset < layout.BuffersStart) ?? [];
        return new HostNode(values, [.. parameters.Select(s => TorchMemory.View(values, s.Offset, s.Shape))], layout?.BuffersStart ?? 0);
    }
}
