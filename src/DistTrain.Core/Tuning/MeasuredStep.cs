using DistTrain.Core.Batches;

namespace DistTrain.Core.Tuning;

/// <summary>A step that is measured in place of a run's own: the same one, or a part of it where that would take too long.</summary>
/// <param name="Samples">Its samples.</param>
/// <param name="Geometry">How they are cut up.</param>
public readonly record struct MeasuredStep(long Samples, BatchGeometry Geometry)
{
    /// <summary>A step of at most so many micro-batches, with as many of them in a block as in the run's, and at least a block for every worker.</summary>
    /// <param name="samples">Samples of the run's step.</param>
    /// <param name="geometry">The run's geometry.</param>
    /// <param name="workers">Workers that measure.</param>
    /// <param name="most">Micro-batches.</param>
    public static MeasuredStep Of(long samples, BatchGeometry geometry, int workers, long most)
    {
        var whole = new BatchPlan(samples, geometry);
        if (whole.MicroBatches <= most)
        {
            return new MeasuredStep(samples, geometry);
        }

        var blocks = (int)Math.Clamp((long)((double)whole.Blocks * most / whole.MicroBatches), Math.Min(workers, whole.Blocks), whole.Blocks);
        var microBatches = Math.Max(blocks, (long)((Int128)blocks * whole.MicroBatches / whole.Blocks));
        microBatches = Math.Max(Math.Min(microBatches, most), blocks);
        var part = (long)(((Int128)samples * microBatches + whole.MicroBatches - 1) / whole.MicroBatches);
        return new MeasuredStep(part, geometry with { Global = part, Blocks = blocks });
    }
}
