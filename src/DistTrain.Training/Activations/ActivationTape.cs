using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace DistTrain.Training.Activations;

/// <summary>The segments of one training pass, between its forward and its backward pass. Used on the replica's thread.</summary>
/// <param name="segments">How many segments a chain of layers is cut into; fewer than 2 keep all activations.</param>
internal sealed class ActivationTape(int segments)
{
    [ThreadStatic]
    private static ActivationTape? _current;

    private readonly List<ActivationSegment> _passed = [];
    private IReadOnlyList<Tensor?> _returned = [];
    private ExceptionDispatchInfo? _failure;

    /// <summary>The tape of the training pass that this thread is in; null outside of one.</summary>
    public static ActivationTape? Current => _current;

    /// <summary>How many segments a chain of layers is cut into.</summary>
    public int Segments => segments;

    /// <summary>Whether a model has run layers in segments so far.</summary>
    public bool WasUsed { get; private set; }

    /// <summary>Begins a training pass; disposing ends it and frees what its segments kept.</summary>
    public Pass Begin()
    {
        _current = this;
        return new Pass(this);
    }

    /// <summary>Runs a segment without keeping its activations.</summary>
    public Tensor Run(IReadOnlyList<nn.Module<Tensor, Tensor>> layers, Tensor input)
    {
        WasUsed = true;
        var (segment, output) = ActivationSegment.Run(layers, input);
        _passed.Add(segment);
        return SegmentFunction.Attach(this, segment, input, output);
    }

    /// <summary>The pass's backward pass.</summary>
    /// <exception cref="Exception">What went wrong in it, in a segment's second forward pass, too.</exception>
    public void Backward(Tensor loss)
    {
        try
        {
            loss.backward();
        }
        catch (ExternalException) when (_failure is not null)
        {
            // What torch makes of the gradients that are missing; why they are is thrown below.
        }

        _failure?.Throw();
    }

    /// <summary>Gradients of what a segment's <see cref="SegmentFunction"/> was attached to, called by torch: an exception here would end the process, so it is kept for <see cref="Backward"/>.</summary>
    /// <param name="segment">The segment.</param>
    /// <param name="gradient">The gradient of its output; null where there is none.</param>
    /// <returns>A gradient each, null for none. Valid until the next call: torch has its own hold on them by then.</returns>
    public IReadOnlyList<Tensor?> Gradients(ActivationSegment segment, Tensor? gradient)
    {
        Free(_returned);
        _returned = [];
        if (gradient is not null && _failure is null)
        {
            try
            {
                _returned = segment.Gradients(gradient);
            }
            catch (Exception exception)
            {
                _failure = ExceptionDispatchInfo.Capture(exception);
            }
        }

        segment.Dispose();
        return _returned;
    }

    private static void Free(IReadOnlyList<Tensor?> tensors)
    {
        foreach (var tensor in tensors)
        {
            tensor?.Dispose();
        }
    }

    private void End()
    {
        _current = null;
        Free(_returned);
        _passed.ForEach(s => s.Dispose());
        _passed.Clear();
        (_returned, _failure) = ([], null);
    }

    /// <summary>A training pass.</summary>
    public readonly struct Pass(ActivationTape tape) : IDisposable
    {
        public void Dispose() => tape.End();
    }
}
