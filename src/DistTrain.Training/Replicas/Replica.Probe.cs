using System.IO.Hashing;
using System.Runtime.InteropServices;
using DistTrain.Core.Batches;
using DistTrain.Core.Layouts;
using DistTrain.Core.Numerics;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Training.Native;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <content>The probe, by which hosts are told apart that compute other bits.</content>
public sealed partial class Replica
{
    /// <summary>How often a device computes the probe: one that adds in the order in which its threads arrive seldom repeats itself three times.</summary>
    private const int ProbeTimes = 3;

    /// <summary>
    /// Samples of the probe where the size of micro-batches is to be found, which must not depend on what is found later: whoever joins is held against the first. A norm over the
    /// batch needs two.
    /// </summary>
    private const int AutoProbe = 2;

    /// <summary>
    /// Most samples of the probe. Micro-batches that are too large are to be met in a step, where they are halved, and not at the door, where nothing can be.
    /// </summary>
    public const int MostProbe = 8;

    /// <summary>
    /// A hash of the gradient of the first micro-batch at weights that are made up from nothing but their index: hosts that compute the same bits
    /// agree in it, whatever state the run is in. The weights are as before afterwards.
    /// </summary>
    /// <returns>The hash; null where three computations did not all agree, so that the device has no bits of its own.</returns>
    /// <exception cref="NotSupportedException">The loss changes a parameter, which only an update may.</exception>
    public string? Probe()
    {
        using var saved = new NativeVector(Layout.Count);
        saved.CopyFrom(_model.Weights);
        try
        {
            for (var i = 0L; i < Layout.BuffersStart; i++)
            {
                _model.Weights.Span(i, 1)[0] = ProbeWeight(i);
            }

            _model.WeightsChanged();
            Examine();
            using var nodes = CreateNodes();
            var hashes = Enumerable.Range(0, ProbeTimes).Select(_ => ProbeOnce(nodes)).Distinct().ToList();
            ForgetNode();
            return hashes.Count == 1 ? hashes[0] : null;
        }
        finally
        {
            _model.Weights.CopyFrom(saved);
            _model.WeightsChanged();
        }
    }

    /// <summary>Uniform in [-0.05, 0.05): large enough to pass every layer, small enough to saturate none.</summary>
    private static float ProbeWeight(long index) => ((Hash64.Mix((ulong)index + 1) >> 40) * (1f / (1 << 24)) - 0.5f) * 0.1f;

    private Operation ProbeOperation()
    {
        var samples = Math.Min(_options.Batch.IsAuto ? AutoProbe : Math.Min(_options.Batch.Micro, MostProbe), _task.Training.Count);
        return new Operation(0, OperationKind.Train, 0, new SampleRange(0, 0, samples), new BatchGeometry(samples, (int)samples, 1), 0, false, false);
    }

    /// <summary>Sees what the model does to its parameters and gradients that is not in its layout.</summary>
    private void Examine()
    {
        _model.Synchronize();
        using var scope = NewDisposeScope();
        using var batch = Load(ProbeOperation(), 0, next: null);
        var pass = new Pass(0, 0, batch);
        var versions = _model.Versions.ToList();
        TrainApart(pass);
        RefuseChanges(versions);

        // Once a gradient of entries was seen one may come again, whatever another probe would see.
        _addsEntries |= AddsOnTop && MayAddEntries(pass);
        _model.UnbindGradients();
    }

    /// <summary>
    /// Whether a gradient is of entries, as those of sparse embeddings are: torch adds each by itself, and of two for one place the first meets what is there before the second, so that on top of another
    /// sum they have other bits than their own sum has. It may be, later, where a parameter has none now, or has a dense one that a gradient of entries was added to.
    /// </summary>
    private bool MayAddEntries(Pass pass)
    {
        if (_model.SparseGradient is not null || _model.MissingGradient is not null)
        {
            return true;
        }

        try
        {
            using var refusal = SparseOperators.Refuse();
            TrainApart(pass);
            return false;
        }
        catch (ExternalException exception) when (!MemoryShortage.Is(exception))
        {
            return true;
        }
    }

    /// <summary>What a loss does to parameters, the worker that computes it does to its own weights alone.</summary>
    private void RefuseChanges(List<(string Name, long Version)> before)
    {
        var changed = _model.Versions.Except(before).Select(p => p.Name).FirstOrDefault()
            ?? Layout.Slots.FirstOrDefault(s => s.Offset < Layout.BuffersStart && !HasProbeWeights(s))?.Name;
        if (changed is not null)
        {
            throw new NotSupportedException(
                $"Parameter {changed} is changed by the loss: the weights would depend on which worker computes which micro-batches. Leave parameters to the update: build embeddings without max_norm, and let "
                + "neither the task's loss nor a module's forward write to a parameter.");
        }
    }

    private bool HasProbeWeights(Slot slot)
    {
        for (var i = slot.Offset; i < slot.Offset + slot.Count; i++)
        {
            if (_model.Weights.Span(i, 1)[0] != ProbeWeight(i))
            {
                return false;
            }
        }

        return true;
    }

    private string ProbeOnce(NodePool nodes)
    {
        var node = nodes.Rent();
        Accumulate(ProbeOperation(), 0, node, () => { });
        var (gradient, hash) = (node.ToHost(), new XxHash128());
        for (var tile = 0; tile < Layout.Tiles.Count; tile++)
        {
            hash.Append(MemoryMarshal.AsBytes(gradient.Span(Layout.Tiles.Start(tile), Layout.Tiles.Length(tile))));
        }

        nodes.Return(node);
        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }
}
