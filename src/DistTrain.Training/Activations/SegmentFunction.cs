using static TorchSharp.torch;

namespace DistTrain.Training.Activations;

/// <summary>
/// Stands in torch's graph for a segment. It depends on the segment's parameters as well as on its input, so that torch itself adds up the gradients of a weight that is used
/// elsewhere, too: in the order and with the bits that it would have without segments.
/// </summary>
internal sealed class SegmentFunction : autograd.SingleTensorFunction<SegmentFunction>
{
    private const string Key = "call";

    /// <inheritdoc/>
    public override string Name => nameof(SegmentFunction);

    /// <summary>Makes the output of a segment depend on its input and parameters.</summary>
    public static Tensor Attach(ActivationTape tape, ActivationSegment segment, Tensor input, Tensor output)
    {
        var parameters = segment.Parameters();
        return apply([new Call(tape, segment, output, 1 + parameters.Count), input, .. parameters]);
    }

    /// <inheritdoc/>
    /// <remarks>The output is there already: torch would never free the node of a function whose forward pass throws.</remarks>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var call = (Call)vars[0];
        ctx.set_materialize_grads(false);
        ctx.save_data(Key, call);
        return call.Output;
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        var call = (Call)ctx.get_data(Key);
        var found = call.Tape.Gradients(call.Segment, grad_output.IsInvalid ? null : grad_output);

        // One for each argument of Attach: none for the call itself, and where the segment failed none at all.
        return [null!, .. Enumerable.Range(0, call.Tensors).Select(i => i < found.Count ? found[i]! : null!)];
    }

    private sealed record Call(ActivationTape Tape, ActivationSegment Segment, Tensor Output, int Tensors);
}
