using DistTrain.Core;

namespace DistTrain.Worker;

/// <summary>Why a worker's session with its coordinator is over.</summary>
/// <param name="Outcome">Whether the worker did what it was there for, and a sentence.</param>
/// <param name="MayReturn">Whether the run may go on, so that it makes sense to join anew.</param>
/// <param name="WasDismissed">Whether the coordinator said so: a worker that is sent away again and again comes back ever more slowly.</param>
internal sealed record SessionEnd(RunOutcome Outcome, MayReturn MayReturn, bool WasDismissed = false)
{
    /// <summary>Whether this worker said that it cannot go on.</summary>
    public bool HasFailed { get; init; }

    /// <summary>Whether the run is over and this worker is as good as new: it may wait for the next one.</summary>
    public bool MayStay => WasDismissed && !HasFailed && MayReturn == MayReturn.No;
}

/// <summary>Whether a worker whose session is over joins anew.</summary>
internal enum MayReturn
{
    /// <summary>It does not.</summary>
    No,

    /// <summary>It does, and gets the state again: its own is wrong.</summary>
    Anew,

    /// <summary>It does, and brings its state along: nobody may have a newer one.</summary>
    WithState,
}
