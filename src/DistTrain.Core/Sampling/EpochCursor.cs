namespace DistTrain.Core.Sampling;

/// <summary>Where a run stands in its data: the next position to be used.</summary>
/// <param name="Epoch">The pass over the data, from 0.</param>
/// <param name="Position">The next position within the epoch, 0..data size - 1.</param>
public readonly record struct EpochCursor(long Epoch, long Position)
{
    /// <summary>
    /// Takes the samples of the next step: the next <paramref name="globalBatch"/> positions, or what is left of the
    /// epoch where that is less. Every position of an epoch is taken exactly once.
    /// </summary>
    /// <param name="dataSize">Samples in the data set, at least 1.</param>
    /// <param name="globalBatch">Samples of a full step, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">
    /// A size below 1, or a cursor that is not within data of this size.
    /// </exception>
    public (SampleRange Taken, EpochCursor Next) Take(long dataSize, long globalBatch)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(dataSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(globalBatch, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(Position);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(Position, dataSize);
        var count = Math.Min(globalBatch, dataSize - Position);
        var taken = new SampleRange(Epoch, Position, count);
        var end = Position + count;
        var next = end == dataSize ? new EpochCursor(Epoch + 1, 0) : this with { Position = end };
        return (taken, next);
    }
}

/// <summary>Consecutive positions of one epoch.</summary>
/// <param name="Epoch">The pass over the data, from 0.</param>
/// <param name="First">The first position.</param>
/// <param name="Count">How many positions.</param>
public readonly record struct SampleRange(long Epoch, long First, long Count);
