using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Auditing;

/// <summary>
/// What a run should have done, as far as it says to have come: a pure function of its configuration and the sizes of its data. A run that was resumed may have changed
/// when it is evaluated and how long it is; then each of its configurations counts.
/// </summary>
internal sealed class ExpectedCourse
{
    private readonly Dictionary<long, Operation> _steps = [];
    private readonly SortedDictionary<long, Operation> _evaluations = [];
    private readonly Dictionary<long, int> _evaluators = [];
    private readonly int _configurations;

    /// <summary>Walks the course.</summary>
    /// <param name="options">The configuration that counts in the end.</param>
    /// <param name="journal">Names those before.</param>
    /// <param name="sizes">The sizes of the data.</param>
    /// <param name="steps">How far; the evaluation after the last step belongs to it.</param>
    /// <param name="lineage">The steps, as they are written down: where the rate follows a gain, it follows from their moments.</param>
    public ExpectedCourse(RunOptions options, JournalContent? journal, DataSizes sizes, long steps, Lineage lineage)
    {
        options = Resolve(options, journal);
        Course = CourseOf(options, journal?.Entries ?? []);
        Sizes = sizes;
        Walk(Course, steps, lineage);
        _configurations = 1;
        foreach (var (before, entries) in Before(options, journal))
        {
            Walk(CourseOf(before, entries), steps, lineage);
            _configurations++;
        }

        RunCourse CourseOf(RunOptions given, IReadOnlyList<JournalEntry> decided) => RunMemory.Of(decided).Apply(new RunCourse(given, sizes.Training, sizes.Validation));
    }

    /// <summary>The whole course.</summary>
    public RunCourse Course { get; }

    /// <summary>What it was computed from.</summary>
    public DataSizes Sizes { get; }

    /// <summary>The steps, by their numbers.</summary>
    public IReadOnlyDictionary<long, Operation> Steps => _steps;

    /// <summary>The evaluations that may be, by the step before.</summary>
    public IReadOnlyDictionary<long, Operation> Evaluations => _evaluations;

    /// <summary>The steps after which is evaluated, whichever configuration it was.</summary>
    public IEnumerable<long> DueEvaluations => _evaluations.Keys.Where(step => _evaluators[step] == _configurations);

    /// <summary>The configuration with the size of micro-batches that the run's workers found, where that was left to them and the journal names it.</summary>
    public static RunOptions Resolve(RunOptions options, JournalContent? journal) =>
        options.WithMicro(journal?.Entries.OfType<JournalEntry.MicroBatch>().LastOrDefault()?.Size ?? 0);

    /// <summary>Samples of the run up to and with a step.</summary>
    public long SamplesOf(long step) => Course.Length.SamplesOf(step);

    /// <summary>Other configurations that terms of the run have had. One that differs in more than a resumed run may change is the journal's check to find.</summary>
    private static IEnumerable<(RunOptions Options, IReadOnlyList<JournalEntry> Entries)> Before(RunOptions options, JournalContent? journal)
    {
        var seen = new HashSet<(StopOptions, EvaluateOptions)> { (options.Stop, options.Evaluate) };
        var entries = journal?.Entries ?? [];
        var terms = entries.Index().Where(e => e.Item is JournalEntry.Term).Select(e => (e.Index, Options: Read((JournalEntry.Term)e.Item))).ToList();
        foreach (var (_, before) in terms)
        {
            if (before is not null && seen.Add((before.Stop, before.Evaluate)))
            {
                // What was decided until another configuration counted; the batches decided later are facts of the run all the same.
                var last = terms.FindLastIndex(t => t.Options is { } other && (other.Stop, other.Evaluate) == (before.Stop, before.Evaluate));
                var end = last + 1 < terms.Count ? terms[last + 1].Index : entries.Count;
                yield return (options with { Stop = before.Stop, Evaluate = before.Evaluate },
                    [.. entries.Take(end), .. entries.Skip(end).Where(e => e is JournalEntry.Geometry or JournalEntry.Decision { Made.EndsRun: false })]);
            }
        }

        static RunOptions? Read(JournalEntry.Term term) => OptionsReader.ReadRun(term.Configuration.ToDictionary()) is var (before, problems) && problems.Count == 0 ? before : null;
    }

    private void Walk(RunCourse course, long steps, Lineage lineage)
    {
        var position = CoursePosition.Start;
        while (course.Next(position) is var (operation, next) && operation.Step <= steps)
        {
            position = next;
            if (operation.Kind == OperationKind.Train)
            {
                _steps.TryAdd(operation.Step, operation);
                var noise = lineage.Steps.GetValueOrDefault(operation.Step)?.Noise;
                course = course.With(new OperationEvidence(
                    operation.Kind, operation.Step, double.NaN, noise?.Moments(operation.Samples.Count)));
            }
            else
            {
                _evaluations.TryAdd(operation.Step, operation);
                _evaluators[operation.Step] = _evaluators.GetValueOrDefault(operation.Step) + 1;
            }
        }
    }
}
