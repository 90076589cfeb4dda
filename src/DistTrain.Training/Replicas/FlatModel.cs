using DistTrain.Core.Layouts;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>
/// A model whose parameters all lie in one flat vector. The tensors stay what they were to the model; only their memory moves. Gradients are made to
/// accumulate into whichever node buffer is bound, so that the sum of a block needs no copy. On a device with memory of its own the model reads a copy
/// of the vector, which is renewed before the next use whenever the vector has changed.
/// </summary>
internal sealed class FlatModel : IDisposable
{
    private readonly List<(Parameter Parameter, int Slot)> _parameters = [];
    private readonly List<Tensor> _views;
    private readonly ComputeDevice _device;
    private readonly FlatTensor? _copy;
    private bool _copyIsStale = true;

    /// <summary>Moves a model's parameters.</summary>
    /// <param name="module">The model, on the CPU.</param>
    /// <param name="device">Where it is to compute.</param>
    /// <exception cref="NotSupportedException">A parameter or a floating-point buffer is not fp32.</exception>
    public FlatModel(nn.Module module, ComputeDevice device)
    {
        _device = device;
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
        Weights = device.CreateHostVector(Layout.Count);

        using var noGradient = no_grad();
        var slots = Layout.Slots.Select((slot, index) => (slot, index)).ToDictionary(s => s.slot.Name, s => s.index);
        var slotOf = new Dictionary<string, int>();
        _views = [.. Layout.Slots.Where(s => s.Offset < Layout.BuffersStart).Select(s => TorchMemory.View(Weights, s.Offset, s.Shape))];
        foreach (var group in groups)
        {
            var slot = slots[group.First().name];
            _views[slot].copy_(group.First().parameter);
            foreach (var (name, _) in group)
            {
                slotOf.Add(name, slot);
            }
        }

        if (device.HasOwnMemory)
        {
            device.Take(module);
            _copy = new FlatTensor(device, Layout);
        }

        foreach (var (name, parameter) in module.named_parameters())
        {
            var slot = slotOf[name];
            parameter.set_(_copy is null ? _views[slot] : _copy.Parameters[slot]);
            if (parameter.requires_grad)
            {
                _parameters.Add((parameter, slot));
            }
        }

        Buffers = new ModelBuffers(module, Layout, Weights, device);
    }

    public nn.Module Module { get; }

    /// <summary>What the model keeps beside its parameters.</summary>
    public ModelBuffers Buffers { get; }

    public ParameterLayout Layout { get; }

    public NativeVector Weights { get; }

    /// <summary>Memory for nodes where the model computes.</summary>
    public NodePool CreateNodes() => _device.HasOwnMemory ? new DeviceNodePool(_device, Layout) : new HostNodePool(Layout);

    /// <summary>To be called after <see cref="Weights"/> were written.</summary>
    public void WeightsChanged() => _copyIsStale = true;

    /// <summary>To be called before the model is: it then computes with <see cref="Weights"/> as they are.</summary>
    public void Synchronize()
    {
        if (_copyIsStale)
        {
            _copy?.CopyFrom(Weights);
            _copyIsStale = false;
        }
    }

    /// <summary>Makes the next backward passes add to a node.</summary>
    public void BindGradients(NodeBuffer node)
    {
        foreach (var (parameter, slot) in _parameters)
        {
            parameter.grad = node.Gradients[slot];
        }
    }

    /// <summary>A watch over the passes that add to nodes in host memory; null where there is none to be had. Disposed by the caller.</summary>
    public GradientWatch? CreateWatch() => _device.HasOwnMemory || !TensorVersion.IsKnown
        ? null
        : new GradientWatch(Layout, _parameters
            .GroupBy(p => p.Slot)
            .Select(slot => (slot.Key, slot.Select(p => TorchMemory.Identity(p.Parameter)).Distinct().Count())));

    /// <summary>Of a pass that was bound to no node: a parameter whose gradient is of entries; null where there is none.</summary>
    public string? SparseGradient => FirstWhere(gradient => gradient is { is_sparse: true });

    /// <summary>Of a pass that was bound to no node: a parameter that has got no gradient; null where there is none.</summary>
    public string? MissingGradient => FirstWhere(gradient => gradient is null);

    /// <summary>How often torch has changed each parameter in place, by name; none where it cannot be asked.</summary>
    public IEnumerable<(string Name, long Version)> Versions =>
        TensorVersion.IsKnown ? Module.named_parameters().Select(p => (p.name, TensorVersion.Of(p.parameter))) : [];

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
        _copy?.Dispose();
        Weights.Dispose();
    }

    private string? FirstWhere(Func<Tensor?, bool> isSo)
    {
        using var scope = NewDisposeScope();
        var found = _parameters.FindIndex(p => isSo(p.Parameter.grad));
        return found < 0 ? null : Layout.Slots[_parameters[found].Slot].Name;
    }
}
