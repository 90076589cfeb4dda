using DistTrain.Core.Layouts;
using DistTrain.Training.Native;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>
/// A model whose parameters all lie in one flat vector. The tensors stay what they were to the model; only their memory moves. Gradients are made to
/// accumulate into whichever node buffer is bound, so that the sum of a block needs no copy.
/// </summary>
internal sealed class FlatModel : IDisposable
{
    private readonly List<(Parameter Parameter, int Slot)> _parameters = [];
    private readonly List<Tensor> _views = [];

    /// <summary>Moves a model's parameters.</summary>
    /// <exception cref="NotSupportedException">A parameter or a floating-point buffer is not fp32.</exception>
    public FlatModel(nn.Module module)
    {
        Module = module;
        var named = module.named_parameters()
            .OrderBy(p => p.name, StringComparer.Ordinal)
            .ToList();
        foreach (var (name, parameter) in named)
        {
            if (parameter.dtype != ScalarType.Float32)
            {
                throw new NotSupportedException($"Parameter {name} is {parameter.dtype}: parameters are kept in Float32, build the model so.");
            }
        }

        // Parameters that share memory are tied: the ordinally first name owns the slot.
        var groups = named.GroupBy(p => (TorchMemory.Address(p.parameter), Shape: string.Join('x', p.parameter.shape))).ToList();
        Layout = new ParameterLayout(groups
            .Select(g => (g.First().name, (IReadOnlyList<long>)g.First().parameter.shape,
                g.First().parameter.requires_grad ? SlotKind.Parameter : SlotKind.Frozen))
            .Concat(ModelBuffers.Describe(module)));
        Weights = new NativeVector(Layout.Count);

        var slots = Layout.Slots.Select((slot, index) => (slot, index)).ToDictionary(s => s.slot.Name, s => s.index);
        using var noGradient = no_grad();
        foreach (var group in groups)
        {
            var slot = slots[group.First().name];
            var view = TorchMemory.View(Weights, Layout.Slots[slot].Offset, Layout.Slots[slot].Shape);
            view.copy_(group.First().parameter);
            _views.Add(view);
            foreach (var (_, parameter) in group)
            {
                parameter.set_(view);
                if (parameter.requires_grad)
                {
                    _parameters.Add((parameter, slot));
                }
            }
        }

        Buffers = new ModelBuffers(module, Layout, Weights);
    }

    public nn.Module Module { get; }

    /// <summary>What the model keeps beside its parameters.</summary>
    public ModelBuffers Buffers { get; }

    public ParameterLayout Layout { get; }

    public NativeVector Weights { get; }

    /// <summary>Allocates the memory of one node, zeroed.</summary>
    public NodeBuffer CreateNode()
    {
        var values = new NativeVector(Layout.Count);
        return new NodeBuffer(values, [.. Layout.Slots.Where(s => s.Offset < Layout.BuffersStart).Select(s => TorchMemory.View(values, s.Offset, s.Shape))]);
    }

    /// <summary>Makes the next backward passes add to a node.</summary>
    public void BindGradients(NodeBuffer node)
    {
        foreach (var (parameter, slot) in _parameters)
        {
            parameter.grad = node.Gradients[slot];
        }
    }

    /// <summary>Forgets the node that was bound: to be called before its memory is freed.</summary>
    public void UnbindGradients()
    {
        foreach (var (parameter, _) in _parameters)
        {
            parameter.grad = null;
        }
    }

    public void Dispose()
    {
        UnbindGradients();
        Module.Dispose();
        Buffers.Dispose();
        _views.ForEach(v => v.Dispose());
        Weights.Dispose();
    }
}
