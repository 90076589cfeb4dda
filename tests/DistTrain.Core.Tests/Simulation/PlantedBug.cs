namespace DistTrain.Core.Tests.Simulation;

/// <summary>A rule that is broken on purpose: a simulation that does not see it would not see the real mistake either.</summary>
internal enum PlantedBug
{
    /// <summary>Everything is as it should be.</summary>
    None,

    /// <summary>A block that a lost worker was to contribute is given to nobody.</summary>
    LostBlockForgotten,

    /// <summary>A worker that hands its root to those behind applies the operation once more.</summary>
    StepAppliedTwice,

    /// <summary>A worker applies although one owner's shard is missing.</summary>
    PartialApply,

    /// <summary>An owner goes on from what it had added up in the generation before.</summary>
    StalePartialFoldKept,

    /// <summary>An owner takes nodes of the next operation as soon as its own shard is reduced.</summary>
    OwnerAheadOfItsApply,

    /// <summary>A call of an earlier generation is served as one of the current.</summary>
    StaleGenerationAccepted,

    /// <summary>A block that nobody holds any more is given out to two members.</summary>
    BlockPlannedTwice,

    /// <summary>A restarted coordinator listens to what was said to the one before it.</summary>
    StaleTermAccepted,

    /// <summary>A restarted coordinator does not read from the lines what the rate follows.</summary>
    MomentsForgotten,

    /// <summary>A change of the members that was left out is taken for told, and whoever is told the next one does not see that it goes out from another list.</summary>
    ChangeOfAnotherList,
}
