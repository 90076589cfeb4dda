namespace DistTrain.Core.Batches;

/// <summary>
/// How a global batch is cut up. It is part of the run's identity: with the same geometry a run has the same bits on
/// any number of workers, because no other quantity decides in which order gradients are added.
/// </summary>
/// <param name="Global">Samples of one optimizer step over all workers, at least 1.</param>
/// <param name="Micro">The largest number of samples of one forward and backward pass, at least 1.</param>
/// <param name="Blocks">The largest number of blocks of a step, at least 1.</param>
public readonly record struct BatchGeometry(long Global, int Micro, int Blocks);

/// <summary>Consecutive whole numbers [First, First + Count).</summary>
public readonly record struct IndexRange(long First, long Count)
{
    /// <summary>One past the last.</summary>
    public long End => First + Count;
}

/// <summary>
/// The micro-batches and blocks of one operation: M = ceil(samples / micro) micro-batches whose sizes differ by at most
/// one, in K = min(M, blocks) blocks whose numbers of micro-batches differ by at most one. A pure function of the
/// numbers of samples and the geometry; nothing is stored.
/// </summary>
public readonly record struct BatchPlan
{
    /// <summary>Cuts up the samples of one operation.</summary>
    /// <param name="samples">
    /// Samples of the operation, at least 1; the last step of an epoch may hold fewer than the global batch.
    /// </param>
    /// <param name="geometry">The run's geometry.</param>
    public BatchPlan(long samples, BatchGeometry geometry)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(samples, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(geometry.Micro, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(geometry.Blocks, 1);
        Samples = samples;
        MicroBatches = (samples - 1) / geometry.Micro + 1;
        Blocks = (int)Math.Min(MicroBatches, geometry.Blocks);
    }

    /// <summary>Samples of the operation.</summary>
    public long Samples { get; }

    /// <summary>M, the number of micro-batches.</summary>
    public long MicroBatches { get; }

    /// <summary>K, the number of blocks.</summary>
    public int Blocks { get; }

    /// <summary>The samples of micro-batch <paramref name="index"/>, counted from the operation's first.</summary>
    /// <param name="index">0..M-1.</param>
    public IndexRange MicroBatch(long index) => Cut(index, Samples, MicroBatches);

    /// <summary>The micro-batches of block <paramref name="index"/>.</summary>
    /// <param name="index">0..K-1.</param>
    public IndexRange Block(int index) => Cut(index, MicroBatches, Blocks);

    /// <summary>
    /// Part <paramref name="index"/> of <paramref name="whole"/> things in <paramref name="parts"/> near-equal parts.
    /// </summary>
    private static IndexRange Cut(long index, long whole, long parts)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, parts);
        var first = Floor(index);
        return new IndexRange(first, Floor(index + 1) - first);

        long Floor(long i) => (long)((Int128)i * whole / parts);
    }
}
