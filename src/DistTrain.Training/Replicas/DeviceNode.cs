using DistTrain.Core.Layouts;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>
/// A node that begins in a device's memory and moves to the host when it is complete or when its place is needed. Two sums that meet in the device are
/// added there, others on the host: an addition of fp32 numbers has one correct result.
/// </summary>
/// <param name="pool">Lends the memory.</param>
internal sealed class DeviceNode(DeviceNodePool pool) : NodeBuffer
{
    private FlatTensor? _tensor;
    private NativeVector? _vector;

    internal override Tensor[] Gradients =>
        _tensor?.Parameters ?? throw new InvalidOperationException("The node has left the device: it is complete and cannot be accumulated into.");

    public override NativeVector ToHost()
    {
        if (_vector is null)
        {
            var tensor = _tensor ?? throw new InvalidOperationException("The node has no values: clear it first.");
            _vector = pool.LendVector();
            tensor.CopyTo(_vector);
            LeaveDevice();
        }

        return _vector;
    }

    public override void Clear()
    {
        LeaveHost();
        _tensor ??= pool.LendTensor(this);
        _tensor.Values.zero_();
    }

    /// <summary>Gives all memory back to the pool.</summary>
    public void Release()
    {
        LeaveHost();
        LeaveDevice();
    }

    internal override double SumOfSquares(ParameterLayout layout) =>
        _tensor?.SumOfSquares(layout.BuffersStart) ?? throw new InvalidOperationException("The node has left the device: measure it before.");

    internal override void AddToBuffers(NativeVector changes) => _tensor!.AddToBuffers(changes);

    private protected override void AddValues(NodeBuffer right)
    {
        if (_tensor is not null && right is DeviceNode { _tensor: { } other })
        {
            _tensor.Add(other);
        }
        else
        {
            ToHost().Add(0, right.ToHost());
        }
    }

    private void LeaveHost()
    {
        if (_vector is not null)
        {
            pool.TakeBack(_vector);
            _vector = null;
        }
    }

    private void LeaveDevice()
    {
        if (_tensor is not null)
        {
            pool.TakeBack(this, _tensor);
            _tensor = null;
        }
    }
}
