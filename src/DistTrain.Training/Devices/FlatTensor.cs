using DistTrain.Core.Layouts;
using DistTrain.Training.Native;
using static TorchSharp.torch;

namespace DistTrain.Training.Devices;

/// <summary>A flat vector in a device's own memory, and a view of it for every parameter.</summary>
internal sealed class FlatTensor : IDisposable
{
    private readonly Tensor _buffers;

    /// <summary>Allocates, with values of no meaning.</summary>
    public FlatTensor(ComputeDevice device, ParameterLayout layout)
    {
        // It outlives whatever scope a micro-batch has opened.
        using var scope = NewDisposeScope();
        Values = empty(layout.Count, ScalarType.Float32, device.Torch).DetachFromDisposeScope();
        Parameters = [.. layout.Slots.Where(s => s.Offset < layout.BuffersStart)
            .Select(s => Values.narrow(0, s.Offset, s.Count).view([.. s.Shape]).DetachFromDisposeScope())];
        _buffers = Values.narrow(0, layout.BuffersStart, layout.Count - layout.BuffersStart).DetachFromDisposeScope();
    }

    /// <summary>All elements.</summary>
    public Tensor Values { get; }

    /// <summary>The parameters' parts in their shapes, in the layout's order.</summary>
    public Tensor[] Parameters { get; }

    /// <summary>Copies from host memory.</summary>
    public void CopyFrom(NativeVector source)
    {
        using var noGradient = no_grad();
        using var view = TorchMemory.View(source, 0, [source.Count]);
        Values.copy_(view);
    }

    /// <summary>Copies to host memory.</summary>
    public void CopyTo(NativeVector target)
    {
        using var noGradient = no_grad();
        using var view = TorchMemory.View(target, 0, [target.Count]);
        view.copy_(Values);
    }

    /// <summary>Adds a vector of the device, element by element.</summary>
    public void Add(FlatTensor right)
    {
        using var noGradient = no_grad();
        Values.add_(right.Values);
    }

    /// <summary>The sum of squares of the first elements, in float64, in pieces that take little memory beside the vector.</summary>
    public double SumOfSquares(long count)
    {
        const long piece = 1 << 21;
        using var noGradient = no_grad();
        using var scope = NewDisposeScope();
        var sum = zeros(1, ScalarType.Float64, Values.device);
        for (var at = 0L; at < count; at += piece)
        {
            using var inner = NewDisposeScope();
            sum.add_(Values.narrow(0, at, Math.Min(piece, count - at)).to(ScalarType.Float64).pow_(2).sum());
        }

        return sum.item<double>();
    }

    /// <summary>Adds a vector of the host to the part that belongs to the model's buffers.</summary>
    public void AddToBuffers(NativeVector changes)
    {
        using var noGradient = no_grad();
        using var view = TorchMemory.View(changes, 0, [changes.Count]);
        using var copy = view.to(_buffers.device);
        _buffers.add_(copy);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _buffers.Dispose();
        Array.ForEach(Parameters, p => p.Dispose());
        Values.Dispose();
    }
}
