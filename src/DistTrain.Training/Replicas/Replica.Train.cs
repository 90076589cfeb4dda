using System.Runtime.InteropServices;
using DistTrain.Core.Numerics;
using DistTrain.Training.Native;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <content>The forward and the backward pass of a micro-batch that is trained on.</content>
public sealed partial class Replica
{
    private (double Loss, long Weight) Train(Pass pass, NodeBuffer node, Action<int>? onFinal, bool onTop)
    {
        try
        {
            return Compute(pass, node, onTop || onFinal is not null ? _watch : null, onFinal, onTop);
        }
        catch (ExternalException exception) when (onTop && !MemoryShortage.Is(exception))
        {
            if (SparseGradient(pass, exception) is { } sparse)
            {
                throw sparse;
            }

            throw;
        }
    }

    private (double Loss, long Weight) Compute(Pass pass, NodeBuffer node, GradientWatch? watch, Action<int>? onFinal, bool onTop)
    {
        using var kept = _activations.Begin();
        var loss = Loss(pass);
        watch?.Begin(node.Gradients, onFinal);
        try
        {
            // torch has no other sign for a gradient of entries that is added to a dense sum, and costs nothing so for what is dense.
            using var refusal = onTop ? SparseOperators.Refuse() : default;
            _activations.Backward(loss.Sum);
        }
        finally
        {
            watch?.End();
        }

        watch?.Check();
        _hasTrained = true;
        if (_model.Buffers.Any)
        {
            node.AddToBuffers(_model.Buffers.Changes(loss.Weight, isFirst: pass.MicroBatch == 0));
        }

        return (loss.Sum.ToDouble(), loss.Weight);
    }

    private LossSum Loss(Pass pass)
    {
        _model.Module.train();
        _model.Buffers.Restore();
        lock (TorchGenerator.Gate)
        {
            manual_seed(Hash64.ForwardSeed(_options.Seed, pass.Step, pass.MicroBatch)).Dispose();
            return _task.Loss(_model.Module, pass.Batch);
        }
    }

    /// <summary>Computes a pass whose gradients are added to nothing: they stay as the pass makes them.</summary>
    private void TrainApart(Pass pass)
    {
        _model.UnbindGradients();

        // What one pass holds is to be gone before the next one: two at a time would be the most that a worker ever needs.
        using var scope = NewDisposeScope();
        using var kept = _activations.Begin();
        _activations.Backward(Loss(pass).Sum);
    }

    /// <summary>What to say of a pass that failed while sparse gradients were refused, and does not fail where they are not; null where it fails all the same.</summary>
    private NotSupportedException? SparseGradient(Pass pass, Exception cause)
    {
        try
        {
            TrainApart(pass);
        }
        catch (Exception)
        {
            return null;
        }

        var name = _model.SparseGradient;
        _model.UnbindGradients();
        return new NotSupportedException(
            $"{(name is null ? "A sparse tensor is part of a gradient" : $"The gradient of {name} is sparse")} in micro-batch {pass.MicroBatch} of step {pass.Step}, and none was in the first micro-batch of "
            + "the data, by which this worker chose how to add: the weights would have other bits on other workers. Build the embedding with sparse: false, or let the loss use it in every micro-batch.",
            cause);
    }

    /// <summary>A micro-batch that is trained on.</summary>
    private readonly record struct Pass(long Step, long MicroBatch, TensorBatch Batch);
}
