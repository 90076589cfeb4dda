using DistTrain.Core;
using DistTrain.Core.Membership;

namespace DistTrain.Worker;

/// <summary>Why a worker's session with its coordinator is over.</summary>
/// <param name="Outcome">Whether the worker did what it was there for, and a sentence.</param>
/// <param name="MayReturn">Whether the run may go on, so that it makes sense to join anew.</param>
internal sealed record SessionEnd(RunOutcome Outcome, bool MayReturn);
