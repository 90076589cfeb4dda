using System.Text.Json.Nodes;

namespace DistTrain.Auditing;

/// <summary>A run's folder held against what its configuration orders, and against itself: every check in a fixed order.</summary>
/// <param name="Findings">One for each check.</param>
/// <param name="Steps">The last step of the surviving lineage.</param>
/// <param name="IsFinished">Whether there is a summary.</param>
internal sealed record Audit(IReadOnlyList<Finding> Findings, long Steps, bool IsFinished)
{
    private const string Unknown = "no file tells the configuration, or the sizes of the data.";

    /// <summary>Whether nothing is wrong.</summary>
    public bool Holds => Findings.All(f => f.Holds != false);

    /// <summary>Checks everything.</summary>
    public static Audit Of(RunEvidence evidence)
    {
        var lineage = Lineage.Of(evidence.Steps.Lines);

        // A step number that is wrong must not make the walk endless.
        var reach = Math.Min(lineage.Last, lineage.Steps.Count + 1L);
        var options = evidence.Options is { } given ? ExpectedCourse.Resolve(given, evidence.Journal) : null;
        var course = options is { Batch.IsAuto: false } && DataSizes.Of(evidence, lineage) is { } sizes ? new ExpectedCourse(options, evidence.Journal, sizes, reach, lineage) : null;
        return new Audit(
            [
                FileChecks.Configuration(evidence),
                FileChecks.Files(evidence),
                HistoryChecks.Journal(evidence),
                StepChecks.Steps(evidence, lineage),
                Where(course, "samples", c => StepChecks.Samples(evidence, c)),
                Where(course, "rates", c => StepChecks.Rates(evidence, c)),
                StepChecks.Again(evidence, lineage),
                Where(course, "evaluations", c => EvaluationCheck.Check(evidence, lineage, c)),
                BlockChecks.Plans(evidence),
                Where(course, "blocks", c => BlockChecks.Blocks(evidence, c)),
                HistoryChecks.Generations(evidence),
                CheckpointChecks.Checkpoints(evidence, lineage, course),
                CheckpointChecks.Leftovers(evidence),
                HistoryChecks.Summary(evidence, lineage, course),
            ],
            lineage.Last,
            evidence.Summary is not null);
    }

    /// <summary>The result for programs.</summary>
    public JsonObject Json() => new()
    {
        ["holds"] = Holds,
        ["finished"] = IsFinished,
        ["steps"] = Steps,
        ["checks"] = new JsonArray([.. Findings.Select(f => new JsonObject { ["check"] = f.Check, ["holds"] = f.Holds, ["sentence"] = f.Sentence })]),
    };

    private static Finding Where(ExpectedCourse? course, string check, Func<ExpectedCourse, Finding> find) =>
        course is null ? Finding.Unchecked(check, Unknown) : find(course);
}
