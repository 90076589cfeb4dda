using DistTrain.Core;

namespace DistTrain.Worker;

/// <summary>Why a worker's session with its coordinator is over.</summary>
/// <param name="Outcome">Whether the worker did what it was there for, and a sentence.</param>
/// <param name="MayReturn">Whether the run may go on, so that it makes sense to join anew.</param>
internal sealed record SessionEnd(RunOutcome Outcome, MayReturn MayReturn);

/// <summary>Whether a worker whose session is over joins anew.</summary>
internal enum MayReturn
{
    /// <summary>It does not.</summary>
    No,

    /// <summary>It counts as lost: it does, and gets the state again.</summary>
    Anew,

    /// <summary>It lost the coordinator, not the run: it does, with the state it has.</summary>
    WithState,
}
