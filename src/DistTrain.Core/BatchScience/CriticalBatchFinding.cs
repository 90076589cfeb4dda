namespace DistTrain.Core.BatchScience;

/// <summary>What the interval of a critical batch says of it.</summary>
public enum CriticalBatchFinding
{
    /// <summary>It has both bounds.</summary>
    Known,

    /// <summary>It is no smaller than the largest batch that was tried, and has no upper bound: up to there doubling saves at least a third of the steps.</summary>
    Above,

    /// <summary>It is no larger than the smallest batch that was tried, and has no lower bound: from there on doubling saves at most a quarter of the steps.</summary>
    Below,

    /// <summary>A bound is missing on a side to which batches were tried, or both are: the points do not say.</summary>
    Open,
}
