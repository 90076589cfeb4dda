namespace DistTrain.Core.Tuning;

/// <summary>What micro-batches of one size cost a worker, as measured.</summary>
/// <param name="Size">Samples of a micro-batch, at least 1.</param>
/// <param name="Time">One forward and backward pass, while the samples of the next one are loaded: the fastest of several.</param>
/// <param name="Base">What the worker held before the first pass: program, weights, one node; in bytes.</param>
/// <param name="Peak">The most it has held up to the end of these passes, in bytes. Sizes have to be measured in ascending order for it to say anything of the size.</param>
public sealed record MicroBatchCost(int Size, TimeSpan Time, long Base, long Peak)
{
    /// <summary>Throughput of one worker while it computes.</summary>
    public double SamplesPerSecond => Size / Time.TotalSeconds;

    /// <summary>What the passes needed beside what was there: activations, two micro-batches, and what torch keeps for them; in bytes.</summary>
    public long Activations => Math.Max(0, Peak - Base);
}
