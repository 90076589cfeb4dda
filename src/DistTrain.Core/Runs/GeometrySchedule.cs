using DistTrain.Core.Batches;

namespace DistTrain.Core.Runs;

/// <summary>From an operation on, micro-batches have another size.</summary>
/// <param name="Kind">Whether that is a step, or the evaluation after it.</param>
/// <param name="Step">The step, from 1.</param>
/// <param name="Micro">Most samples of a micro-batch, at least 1.</param>
public sealed record GeometryChange(OperationKind Kind, long Step, int Micro);

/// <summary>
/// How the operations of a run are cut up: the global batch stays, the size of micro-batches may change at an operation. It is part of the run's identity: two runs with one schedule
/// have the same bits, one step after the other.
/// </summary>
public sealed class GeometrySchedule
{
    private readonly BatchGeometry _first;
    private readonly IReadOnlyList<GeometryChange> _changes;

    /// <summary>A schedule.</summary>
    /// <param name="first">How the first operation is cut up.</param>
    /// <param name="changes">In any order; of two at one operation the latter counts.</param>
    public GeometrySchedule(BatchGeometry first, params IEnumerable<GeometryChange> changes)
    {
        _first = first;
        _changes = [.. changes.OrderBy(Place)];
    }

    /// <summary>The changes, in order.</summary>
    public IReadOnlyList<GeometryChange> Changes => _changes;

    /// <summary>Every geometry that occurs.</summary>
    public IEnumerable<BatchGeometry> All => _changes.Select(c => _first with { Micro = c.Micro }).Prepend(_first).Distinct();

    /// <summary>How a run is told to be cut up likewise from its start, in a sentence.</summary>
    public string Recipe
    {
        get
        {
            // There is no key for an evaluation: it is named by the step after it. The first size is named as well, as workers may have found it.
            var changes = string.Concat(_changes.Select(c => $", batch.microFrom.{(c.Kind == OperationKind.Train ? c.Step : c.Step + 1)}={c.Micro}"));
            var evaluated = _changes.Where(c => c.Kind == OperationKind.Evaluate).Select(c => c.Step).ToList();
            return $"A run with batch.micro={_first.Micro}{changes}, and no other batch.microFrom, has the same {(evaluated.Count == 0 ? "bits" : "weights")}."
                + (evaluated.Count == 0 ? "" : $" The loss of the evaluation after step {string.Join(" and ", evaluated)} may differ in its last digits.");
        }
    }

    /// <summary>How an operation is cut up.</summary>
    /// <param name="kind">Whether it is a step, or the evaluation after it.</param>
    /// <param name="step">The step, from 1.</param>
    public BatchGeometry Of(OperationKind kind, long step)
    {
        var place = Place(kind, step);
        return _changes.LastOrDefault(c => Place(c).CompareTo(place) <= 0) is { } last ? _first with { Micro = last.Micro } : _first;
    }

    /// <summary>The same with a change: whatever was to change behind it does not make micro-batches larger again.</summary>
    public GeometrySchedule With(GeometryChange change) => new(
        _first, _changes.Where(c => Place(c).CompareTo(Place(change)) < 0 || c.Micro < change.Micro).Append(change));

    /// <summary>A step comes before the evaluation after it.</summary>
    internal static (long Step, bool IsAfter) Place(OperationKind kind, long step) => (step, kind == OperationKind.Evaluate);

    private static (long Step, bool IsAfter) Place(GeometryChange change) => Place(change.Kind, change.Step);
}
