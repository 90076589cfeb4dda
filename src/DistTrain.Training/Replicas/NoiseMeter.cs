using DistTrain.Core.BatchScience;
using DistTrain.Core.Layouts;
using DistTrain.Core.Numerics;
using DistTrain.Core.Reduction;
using DistTrain.Training.Native;
using DistTrain.Training.Optimizers;

namespace DistTrain.Training.Replicas;

/// <summary>
/// Measures what the noise scale needs: of every block |sum|^2 / weight, which is folded in the headers, and of the whole step |sum|^2; both also as the rule scales gradients, with its
/// state at the step's start. Only trained parameters count. On a device with memory of its own the second is not measured, as the rule's state lies in the host's.
/// </summary>
/// <param name="layout">Where the parameters lie.</param>
/// <param name="optimizer">The rule.</param>
/// <param name="scalesOnHost">Whether blocks lie in host memory.</param>
internal sealed class NoiseMeter(ParameterLayout layout, IFlatOptimizer optimizer, bool scalesOnHost) : IDisposable
{
    private readonly IPreconditioner? _preconditioner = optimizer as IPreconditioner;
    private NativeVector? _scale;
    private bool _isStale = true;

    /// <summary>How many sums a training header has: blocks, their squares, and those as the rule scales them.</summary>
    public int Count => _preconditioner is null ? 2 : 3;

    /// <summary>The header's sums of one block.</summary>
    public double[] OfBlock(NodeBuffer node, long weight)
    {
        if (weight == 0)
        {
            return new double[Count];
        }

        var plain = node.SumOfSquares(layout) / weight;
        return _preconditioner is null ? [1, plain] : [1, plain, scalesOnHost ? Scaled(node.ToHost()) / weight : double.NaN];
    }

    /// <summary>What the whole step adds up to. To be called before the rule's state moves on.</summary>
    /// <param name="reduced">The sum of all blocks.</param>
    /// <param name="header">The root's header.</param>
    /// <param name="square">|sum|^2.</param>
    public (GradientSums Plain, GradientSums? Preconditioned) OfStep(NativeVector reduced, NodeHeader header, double square)
    {
        var blocks = (long)header.MetricSums[0];
        return (
            new GradientSums(blocks, header.MetricSums[1], square),
            _preconditioner is null || double.IsNaN(header.MetricSums[2]) ? null : new GradientSums(blocks, header.MetricSums[2], Scaled(reduced)));
    }

    /// <summary>To be called after the rule's state has changed.</summary>
    public void StateChanged() => _isStale = true;

    /// <inheritdoc/>
    public void Dispose() => _scale?.Dispose();

    private double Scaled(NativeVector sums)
    {
        var scale = CurrentScale();
        var (tiles, tile, sum) = (layout.Tiles, 0, 0.0);
        foreach (var slot in layout.Slots)
        {
            for (var end = slot.Offset + slot.Count; tile < tiles.Count && tiles.Start(tile) < end; tile++)
            {
                sum += slot.Kind == SlotKind.Parameter
                    ? VectorKernels.SumOfSquaredProducts(sums.Span(tiles.Start(tile), tiles.Length(tile)), scale.Span(tiles.Start(tile), tiles.Length(tile)))
                    : 0;
            }
        }

        return sum;
    }

    /// <summary>Written once a step: a root and a division for every element of every block would take longer than all else that is measured.</summary>
    private NativeVector CurrentScale()
    {
        _scale ??= new NativeVector(layout.Count);
        if (_isStale)
        {
            for (var tile = 0; tile < layout.Tiles.Count; tile++)
            {
                _preconditioner!.WriteScale(layout.Tiles.Start(tile), _scale.Span(layout.Tiles.Start(tile), layout.Tiles.Length(tile)));
            }

            _isStale = false;
        }

        return _scale;
    }
}
