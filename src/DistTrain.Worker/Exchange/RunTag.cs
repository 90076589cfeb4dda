namespace DistTrain.Worker.Exchange;

/// <summary>What every message between workers carries: a message of another run, term or generation is refused.</summary>
/// <param name="Run">The run's id.</param>
/// <param name="Term">The coordinator's term.</param>
/// <param name="Generation">The membership the transfer belongs to.</param>
internal readonly record struct RunTag(ulong Run, ulong Term, ulong Generation)
{
    /// <summary>Why a message with another tag is refused; null where it is the same.</summary>
    public string? Refuse(RunTag other) =>
        other.Run != Run ? $"it belongs to run {other.Run:x16}, this is {Run:x16}"
        : other.Term != Term ? $"it belongs to term {other.Term}, this is term {Term}"
        : other.Generation != Generation ? $"it belongs to generation {other.Generation}, this is generation {Generation}"
        : null;
}
