using System.Text.Json.Serialization;

namespace DistTrain.Core.Runs;

/// <summary>
/// What was decided from what an operation showed. It changes the course two steps later, always: so it is on disk before the step is handed out that it changes, and whoever computes a step again
/// goes by it.
/// </summary>
/// <param name="Kind">Whether a step showed it, or the evaluation after it.</param>
/// <param name="Step">The step.</param>
/// <param name="Batch">Samples of a full step from <see cref="From"/> on; 0 where the run ends before it.</param>
/// <param name="Reason">Why, in a sentence without its end.</param>
public sealed record RunDecision(OperationKind Kind, long Step, long Batch, string Reason)
{
    /// <summary>Steps from what was shown to what it changes.</summary>
    public const int Delay = 2;

    /// <summary>The first step that goes by it.</summary>
    [JsonIgnore]
    public long From => Step + Delay;

    /// <summary>Whether the run ends by it.</summary>
    [JsonIgnore]
    public bool EndsRun => Batch == 0;

    /// <summary>Whether it was decided from what comes before an operation that is cut up anew; else what it was decided from is computed again, with other bits.</summary>
    public bool IsBefore(GeometryChange change) => Step < change.Step || (Step == change.Step && Kind < change.Kind);
}
