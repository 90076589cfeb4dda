using System.Runtime.InteropServices;
using DistTrain.Core.Layouts;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>
/// What a model keeps beside its parameters and changes in a forward pass, such as the running statistics of BatchNorm. Every micro-batch starts from
/// the step's values, and what it changes is summed like a gradient, so that the result does not depend on who computed which micro-batch.
/// </summary>
/// <remarks>
/// A floating-point buffer becomes its old value plus the mean of the micro-batches' changes, weighted by their samples: for the statistics of BatchNorm,
/// new = old + sum_i(weight_i * (result_i - old)) / sum_i(weight_i), one update by the weighted mean of the micro-batches' statistics, whatever
/// their number. A buffer of whole numbers takes the result of micro-batch 0.
/// </remarks>
internal sealed class ModelBuffers : IDisposable
{
    private const int Digits = 4;
    private const int DigitBits = 16;

    private readonly NativeVector _weights;
    private readonly NativeVector _working;
    private readonly Tensor _workingView;
    private readonly Tensor? _copy;
    private readonly NativeVector _changes;
    private readonly long _start;
    private readonly List<Tensor> _views = [];
    private readonly List<(Tensor Tensor, Slot Slot)> _integers = [];

    /// <summary>Moves a model's floating-point buffers into one vector of their own, and writes their values into the state.</summary>
    /// <param name="module">The model.</param>
    /// <param name="layout">The layout of parameters and buffers.</param>
    /// <param name="weights">The state; its part from <see cref="ParameterLayout.BuffersStart"/> on is the buffers'.</param>
    /// <param name="device">Where the model computes; it has been moved there.</param>
    public ModelBuffers(nn.Module module, ParameterLayout layout, NativeVector weights, ComputeDevice device)
    {
        _weights = weights;
        _start = layout.BuffersStart;
        _working = device.CreateHostVector(layout.Count - _start);
        _workingView = TorchMemory.View(_working, 0, [_working.Count]);
        _changes = device.CreateHostVector(_working.Count);
        var slots = layout.Slots.Where(s => s.Offset >= _start).ToDictionary(s => s.Name);
        using var noGradient = no_grad();
        _copy = device.HasOwnMemory ? empty(_working.Count, ScalarType.Float32, device.Torch).DetachFromDisposeScope() : null;
        foreach (var (name, buffer) in Named(module))
        {
            var slot = slots[name];
            if (slot.Kind == SlotKind.IntegerBuffer)
            {
                _integers.Add((buffer, slot));
                WriteDigits(buffer, weights.Span(slot.Offset, (int)slot.Count));
                continue;
            }

            using var part = (_copy ?? _workingView).narrow(0, slot.Offset - _start, slot.Count);
            var view = part.view([.. slot.Shape]);
            view.copy_(buffer);
            buffer.set_(view);
            _views.Add(view);
        }

        Read();
        foreach (var slot in slots.Values.Where(s => s.Kind == SlotKind.Buffer))
        {
            _working.Span(slot.Offset - _start, checked((int)slot.Count)).CopyTo(weights.Span(slot.Offset, checked((int)slot.Count)));
        }
    }

    /// <summary>Whether there are any.</summary>
    public bool Any => _working.Count > 0;

    /// <summary>Name, dimensions and kind of a model's buffers.</summary>
    /// <exception cref="NotSupportedException">A buffer is floating-point but not fp32.</exception>
    public static IEnumerable<(string Name, IReadOnlyList<long> Shape, SlotKind Kind)> Describe(nn.Module module)
    {
        foreach (var (name, buffer) in Named(module))
        {
            if (buffer.is_floating_point() && buffer.dtype != ScalarType.Float32)
            {
                throw new NotSupportedException($"Buffer {name} is {buffer.dtype}: floating-point buffers are kept in Float32, build the model so.");
            }

            yield return buffer.is_floating_point()
                ? (name, buffer.shape, SlotKind.Buffer)
                : (name, [.. buffer.shape, Digits], SlotKind.IntegerBuffer);
        }
    }

    /// <summary>Sets the model's buffers to the state's, before a micro-batch.</summary>
    public unsafe void Restore()
    {
        if (!Any)
        {
            return;
        }

        using var noGradient = no_grad();
        NativeMemory.Copy(_weights.Data + _start, _working.Data, (nuint)_working.Count * sizeof(float));
        _copy?.copy_(_workingView);
        foreach (var (tensor, slot) in _integers)
        {
            ReadDigits(_weights.Span(slot.Offset, (int)slot.Count), tensor);
        }
    }

    /// <summary>What a micro-batch changed, as it is to be summed; valid until the next one.</summary>
    /// <param name="weight">The micro-batch's weight.</param>
    /// <param name="isFirst">Whether it is micro-batch 0, the one that buffers of whole numbers follow.</param>
    public NativeVector Changes(long weight, bool isFirst)
    {
        const int piece = 1 << 20;
        Read();
        for (var at = 0L; at < _working.Count; at += piece)
        {
            var count = (int)Math.Min(piece, _working.Count - at);
            var now = _working.Span(at, count);
            var before = _weights.Span(_start + at, count);
            var change = _changes.Span(at, count);
            for (var i = 0; i < count; i++)
            {
                // Compared as bits: an infinity that stays must not become infinity minus infinity.
                change[i] = BitConverter.SingleToInt32Bits(now[i]) == BitConverter.SingleToInt32Bits(before[i]) ? 0 : (now[i] - before[i]) * weight;
            }
        }

        foreach (var (tensor, slot) in _integers)
        {
            var digits = _changes.Span(slot.Offset - _start, (int)slot.Count);
            digits.Clear();
            if (isFirst)
            {
                WriteDigits(tensor, digits);
            }
        }

        return _changes;
    }

    /// <summary>Updates one part of the state from the reduced sum.</summary>
    /// <param name="kind">What the part belongs to.</param>
    /// <param name="state">The state's part, read and written.</param>
    /// <param name="sum">The reduced sum.</param>
    /// <param name="weight">The step's weight.</param>
    public static void Update(SlotKind kind, Span<float> state, ReadOnlySpan<float> sum, float weight)
    {
        if (kind == SlotKind.IntegerBuffer)
        {
            sum.CopyTo(state);
            return;
        }

        for (var i = 0; i < state.Length; i++)
        {
            if (sum[i] != 0)
            {
                state[i] += sum[i] / weight;
            }
        }
    }

    public void Dispose()
    {
        _views.ForEach(v => v.Dispose());
        _integers.ForEach(i => i.Tensor.Dispose());
        _copy?.Dispose();
        _workingView.Dispose();
        _working.Dispose();
        _changes.Dispose();
    }

    /// <summary>Brings the model's buffers to <see cref="_working"/>, which they lie in anyway where the device has no memory of its own.</summary>
    private void Read()
    {
        if (_copy is not null)
        {
            using var noGradient = no_grad();
            _workingView.copy_(_copy);
        }
    }

    private static IEnumerable<(string Name, Tensor Buffer)> Named(nn.Module module) =>
        module.named_buffers().Where(b => b.buffer.numel() > 0);

    private static void WriteDigits(Tensor tensor, Span<float> digits)
    {
        using var scope = NewDisposeScope();
        var numbers = tensor.cpu().to(ScalarType.Int64).contiguous().data<long>().ToArray();
        for (var i = 0; i < digits.Length; i++)
        {
            digits[i] = (ushort)(numbers[i / Digits] >> (i % Digits * DigitBits));
        }
    }

    private static void ReadDigits(ReadOnlySpan<float> digits, Tensor target)
    {
        using var scope = NewDisposeScope();
        var numbers = new long[digits.Length / Digits];
        for (var i = 0; i < digits.Length; i++)
        {
            numbers[i / Digits] |= (long)(ushort)digits[i] << (i % Digits * DigitBits);
        }

        using var noGradient = no_grad();
        target.copy_(torch.tensor(numbers).reshape(target.shape));
    }
}
