using DistTrain.Core.BatchScience;
using DistTrain.Core.Journals;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <summary>What a coordinator that starts again knows of the run: the journal's decisions, and what lies in the run's folder.</summary>
public sealed record RunMemory
{
    /// <summary>The last generation that was formed; 0 for none.</summary>
    public ulong Generation { get; init; }

    /// <summary>How many workers it had: so many may come back with their state.</summary>
    public int Members { get; init; }

    /// <summary>What the first worker proved; null where none had.</summary>
    public WorkerPreparation? Reference { get; init; }

    /// <summary>Whether every worker so far computes the same bits.</summary>
    public bool PromisesSameBits { get; init; } = true;

    /// <summary>How the size of micro-batches changed, in order.</summary>
    public IReadOnlyList<JournalEntry.Geometry> Geometry { get; init; } = [];

    /// <summary>The size of micro-batches that the workers found; 0 where that was not left to them, or not yet done.</summary>
    public int MicroBatch { get; init; }

    /// <summary>The step of the newest checkpoint that is whole; -1 for none.</summary>
    public long Checkpoint { get; init; } = -1;

    /// <summary>The last step up to which every step has its line.</summary>
    public long RecordedStep { get; init; }

    /// <summary>What was decided from what operations showed, in order.</summary>
    public IReadOnlyList<RunDecision> Decisions { get; init; } = [];

    /// <summary>The losses of the evaluations that have a line, by the step before.</summary>
    public IReadOnlyDictionary<long, double> Losses { get; init; } = new Dictionary<long, double>();

    /// <summary>The moments of the gradients of steps that have a line, by step; of no interest where neither a decision nor the rate depends on them.</summary>
    public IReadOnlyDictionary<long, GradientMoments> Moments { get; init; } = new Dictionary<long, GradientMoments>();

    /// <summary>How many steps up to the last recorded one were skipped in a row.</summary>
    public int Skipped { get; init; }

    /// <summary>The course of the run so far, where a worker has told of its data; else null.</summary>
    /// <param name="options">The configuration, valid.</param>
    public RunCourse? CourseOf(RunOptions options) =>
        Reference is { } reference ? Apply(new RunCourse(options.WithMicro(MicroBatch), reference.TrainingSamples, reference.ValidationSamples)) : null;

    /// <summary>A course as it was planned, with what was decided since.</summary>
    public RunCourse Apply(RunCourse planned) => Decisions.Aggregate(Geometry.Aggregate(planned, (c, halved) => c.With(halved.Change)), (c, decision) => c.With(decision));

    /// <summary>
    /// The end that the recorded steps have come to where that follows from their gains, and nothing in the journal says so: another end was decided, and dropped when the run was told anew when to
    /// end. Its own term decides as one that had been told so from the start; null for none.
    /// </summary>
    /// <param name="options">The configuration, valid.</param>
    public RunDecision? EndReached(RunOptions options)
    {
        if (CourseOf(options) is not { Progress: not null, EndsBy: null } course)
        {
            return null;
        }

        var decider = new RunDecider(options.WithMicro(MicroBatch));
        for (var at = CoursePosition.Start; course.Next(at) is var (operation, next) && operation.Step <= RecordedStep; at = next)
        {
            if (operation.Kind == OperationKind.Train)
            {
                var shown = Shown(operation);
                course = course.With(shown);
                if (decider.Take(shown, course) is { EndsRun: true } end && course.Takes(end))
                {
                    return end;
                }
            }
        }

        return null;
    }

    /// <summary>What the line of an operation says that it showed.</summary>
    public OperationEvidence Shown(Operation operation) => operation.Kind == OperationKind.Evaluate
        ? new OperationEvidence(operation.Kind, operation.Step, Losses[operation.Step], null)
        : new OperationEvidence(operation.Kind, operation.Step, double.NaN, Moments.TryGetValue(operation.Step, out var moments) ? moments : null);

    /// <summary>What the journal says; the rest is for whoever reads the folder.</summary>
    public static RunMemory Of(IEnumerable<JournalEntry> entries)
    {
        var memory = new RunMemory();
        var stop = new List<string>();
        foreach (var entry in entries)
        {
            memory = entry switch
            {
                JournalEntry.Generation e => memory with { Generation = e.Number, Members = e.Members },
                JournalEntry.Rollback => memory with { Members = 0 },
                JournalEntry.Reference e => memory with { Reference = e.Proof },
                JournalEntry.Geometry e => memory with { Geometry = [.. memory.Geometry, e], Decisions = [.. memory.Decisions.Where(d => d.IsBefore(e.Change))] },
                JournalEntry.Decision e => memory with { Decisions = [.. memory.Decisions, e.Made] },
                JournalEntry.Term e when IsOtherStop(e) => memory with { Decisions = [.. memory.Decisions.Where(d => !d.EndsRun)] },
                JournalEntry.MicroBatch e => memory with { MicroBatch = e.Size },
                JournalEntry.MixedHosts => memory with { PromisesSameBits = false },
                _ => memory,
            };
        }

        return memory;

        // A run that ended early, and is told anew when to end, goes on.
        bool IsOtherStop(JournalEntry.Term term)
        {
            List<string> now = [.. term.Configuration.Where(c => c.Key.StartsWith("stop.", StringComparison.Ordinal)).OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => $"{c.Key}={c.Value}")];
            var isOther = !now.SequenceEqual(stop);
            stop = now;
            return isOther;
        }
    }
}
