using DistTrain.Core.Layouts;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;

namespace DistTrain.Training.Replicas;

/// <summary>
/// Nodes in a device's memory, at most <see cref="ComputeDevice.Nodes"/> of them: the one that has waited longest, which is the one highest in the tree
/// and so the last to be needed, makes room by moving to the host.
/// </summary>
internal sealed class DeviceNodePool(ComputeDevice device, ParameterLayout layout) : NodePool
{
    private readonly Stack<DeviceNode> _free = [];
    private readonly List<DeviceNode> _inDevice = [];
    private readonly Stack<FlatTensor> _freeTensors = [];
    private readonly Stack<NativeVector> _freeVectors = [];
    private readonly List<FlatTensor> _tensors = [];
    private readonly List<NativeVector> _vectors = [];

    public override NodeBuffer Rent() => _free.TryPop(out var node) ? node : new DeviceNode(this);

    public override void Return(NodeBuffer node)
    {
        var own = (DeviceNode)node;
        own.Release();
        _free.Push(own);
    }

    public override void Dispose()
    {
        _tensors.ForEach(t => t.Dispose());
        _vectors.ForEach(v => v.Dispose());
    }

    /// <summary>Lends device memory, with values of no meaning.</summary>
    public FlatTensor LendTensor(DeviceNode borrower)
    {
        if (_freeTensors.Count == 0 && _tensors.Count == device.Nodes)
        {
            _inDevice[0].ToHost();
        }

        if (!_freeTensors.TryPop(out var tensor))
        {
            tensor = new FlatTensor(device, layout);
            _tensors.Add(tensor);
        }

        _inDevice.Add(borrower);
        return tensor;
    }

    /// <summary>Lends host memory, with values of no meaning.</summary>
    public NativeVector LendVector()
    {
        if (!_freeVectors.TryPop(out var vector))
        {
            vector = device.CreateHostVector(layout.Count);
            _vectors.Add(vector);
        }

        return vector;
    }

    public void TakeBack(DeviceNode borrower, FlatTensor tensor)
    {
        _inDevice.Remove(borrower);
        _freeTensors.Push(tensor);
    }

    public void TakeBack(NativeVector vector) => _freeVectors.Push(vector);
}
