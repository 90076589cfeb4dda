using DistTrain.Training.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Activations;

/// <summary>What is kept of a segment of layers until its backward pass: its input and output, and what torch's generator and the layers' buffers were before it.</summary>
internal sealed class ActivationSegment : IDisposable
{
    private readonly IReadOnlyList<nn.Module<Tensor, Tensor>> _layers;
    private readonly Tensor _input;
    private readonly Tensor _output;
    private readonly bool _inputHasGradient;
    private readonly Tensor _generator;
    private readonly List<Tensor> _buffers;

    private ActivationSegment(IReadOnlyList<nn.Module<Tensor, Tensor>> layers, Tensor input, Tensor output, Tensor generator, List<Tensor> buffers)
    {
        (_layers, _inputHasGradient) = (layers, input.requires_grad);
        (_input, _output) = (input.detach().DetachFromDisposeScope(), output.detach().DetachFromDisposeScope());
        _generator = generator.DetachFromDisposeScope();
        _buffers = buffers.ConvertAll(b => b.DetachFromDisposeScope());
    }

    /// <summary>Runs layers without a graph.</summary>
    public static (ActivationSegment Segment, Tensor Output) Run(IReadOnlyList<nn.Module<Tensor, Tensor>> layers, Tensor input)
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var generator = TorchGenerator.State();
        var buffers = Copies(layers);
        var output = Forward(layers, input);
        return (new ActivationSegment(layers, input, output, generator, buffers), output.MoveToOuterDisposeScope());
    }

    /// <summary>The layers' parameters that have a gradient, each once, always in the same order. Not kept: of a scripted module they are new objects every time.</summary>
    public IReadOnlyList<Tensor> Parameters() => [.. _layers.SelectMany(l => l.parameters()).Where(p => p.requires_grad).DistinctBy(TorchMemory.Identity)];

    /// <summary>Runs the layers once more, with a graph, and differentiates.</summary>
    /// <param name="gradient">The gradient of the output.</param>
    /// <returns>The gradients of the input and of <see cref="Parameters"/>, null for none; disposed by the caller.</returns>
    /// <exception cref="InvalidOperationException">The output is not what it was.</exception>
    public IReadOnlyList<Tensor?> Gradients(Tensor gradient)
    {
        using var scope = NewDisposeScope();
        using var withGradient = enable_grad();
        var input = _input.detach().requires_grad_(_inputHasGradient);
        var after = Copies(_layers);
        var output = RunAgain(input);
        if (!TorchMemory.SameBits(output, _output))
        {
            throw new InvalidOperationException(
                $"The layers {string.Join(", ", _layers.Select(l => l.GetName()))} computed another output from the same input in the backward pass than in the forward pass, "
                + "so that their gradients would be wrong. Give them no state but buffers and no random numbers but torch's, let them not change their input, or set activationCheckpointing to 0.");
        }

        var found = autograd.grad([output], _inputHasGradient ? [input, .. Parameters()] : [.. Parameters()], [gradient], allow_unused: true)
            .Select(g => g is null || g.IsInvalid ? null : g.DetachFromDisposeScope());
        Write(after);
        return _inputHasGradient ? [.. found] : [null, .. found];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _input.Dispose();
        _output.Dispose();
        _generator.Dispose();
        _buffers.ForEach(b => b.Dispose());
    }

    private Tensor RunAgain(Tensor input)
    {
        lock (TorchGenerator.Gate)
        {
            var now = TorchGenerator.State();
            TorchGenerator.Set(_generator);
            Write(_buffers);
            try
            {
                return Forward(_layers, input);
            }
            finally
            {
                TorchGenerator.Set(now);
            }
        }
    }

    private static Tensor Forward(IReadOnlyList<nn.Module<Tensor, Tensor>> layers, Tensor input) => layers.Aggregate(input, (value, layer) => layer.call(value));

    private static List<Tensor> Buffers(IReadOnlyList<nn.Module<Tensor, Tensor>> layers) => [.. layers.SelectMany(l => l.buffers()).Where(b => b.numel() > 0)];

    private static List<Tensor> Copies(IReadOnlyList<nn.Module<Tensor, Tensor>> layers) => Buffers(layers).ConvertAll(b => b.clone());

    private void Write(List<Tensor> values)
    {
        using var noGradient = no_grad();
        foreach (var (buffer, value) in Buffers(_layers).Zip(values))
        {
            buffer.copy_(value);
        }
    }
}
