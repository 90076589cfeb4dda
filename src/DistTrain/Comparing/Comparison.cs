using System.Text.Json.Nodes;
using DistTrain.Views;

namespace DistTrain.Comparing;

/// <summary>Where two runs part.</summary>
/// <param name="Step">The first step that is not the same.</param>
/// <param name="Field">The field that differs; null where one run has no such step.</param>
/// <param name="A">What the first run says; null where it has no such step, or no such evaluation.</param>
/// <param name="B">What the second run says.</param>
internal sealed record Difference(long Step, string? Field, string? A, string? B);

/// <summary>Two trajectories held against each other.</summary>
/// <param name="EqualSteps">How many steps are the same before the first difference.</param>
/// <param name="EqualEvaluations">How many evaluations are.</param>
/// <param name="First">The first difference; null where there is none.</param>
/// <param name="Sentence">The result for people.</param>
/// <param name="Remarks">What was left out of the comparison.</param>
internal sealed record Comparison(long EqualSteps, long EqualEvaluations, Difference? First, string Sentence, IReadOnlyList<string> Remarks)
{
    /// <summary>Compares step by step, and after each step its evaluation.</summary>
    public static Comparison Of(Trajectory a, Trajectory b)
    {
        string[] remarks = [.. a.Remarks.Concat(b.Remarks).Distinct()];
        var (equal, evaluations) = (0L, 0L);
        foreach (var step in a.Steps.Keys.Union(b.Steps.Keys).Order())
        {
            var (left, right) = (a.Steps.GetValueOrDefault(step), b.Steps.GetValueOrDefault(step));
            if (left is null || right is null)
            {
                var (lacking, having) = left is null ? (a, b) : (b, a);
                var end = lacking.Steps.Keys.Last();
                var how = end < step ? $"ends at step {end}" : $"has no step {step}";
                return Differ(
                    new Difference(step, null, left?.Fields["weightsHash"], right?.Fields["weightsHash"]),
                    $"{lacking.Path} {how}, {having.Path} goes on to step {having.Steps.Keys.Last()}; the {Words.Count(equal, "step")} before {(equal == 1 ? "is" : "are")} the same.");
            }

            if (FirstOf(left, right) is var (field, x, y))
            {
                return Differ(new Difference(step, field, x, y), $"The runs differ from step {step} on: {field} is {x} in {a.Path} and {y} in {b.Path}.");
            }

            equal++;
            if (a.Evaluations is null || b.Evaluations is null)
            {
                continue;
            }

            var (after, other) = (a.Evaluations.GetValueOrDefault(step), b.Evaluations.GetValueOrDefault(step));
            if (after is null != other is null)
            {
                var (lacking, having) = after is null ? (a, b) : (b, a);
                return Differ(
                    new Difference(step, "evaluation", after?.Fields["loss"], other?.Fields["loss"]),
                    $"The runs differ after step {step}: it is evaluated in the run of {having.Path}, and not in that of {lacking.Path}.");
            }

            if (after is not null && FirstOf(after, other!) is var (metric, p, q))
            {
                return Differ(
                    new Difference(step, $"evaluation.{metric}", p, q),
                    $"The evaluations after step {step} differ: {metric} is {p} in the run of {a.Path} and {q} in that of {b.Path}.");
            }

            evaluations += after is null ? 0 : 1;
        }

        var last = a.Steps.Last().Value;
        var evaluated = evaluations == 0 ? "" : $" and {Words.Count(evaluations, "evaluation")}";
        return new Comparison(
            equal, evaluations, null, $"The runs are the same, bit for bit: {Words.Count(equal, "step")}{evaluated}, weights {last.Fields["weightsHash"]} after step {last.Step}.", remarks);

        Comparison Differ(Difference first, string sentence) => new(equal, evaluations, first, sentence, remarks);
    }

    /// <summary>The result for programs.</summary>
    public JsonObject Json() => new()
    {
        ["equal"] = First is null,
        ["equalSteps"] = EqualSteps,
        ["equalEvaluations"] = EqualEvaluations,
        ["firstDifference"] = First is null ? null : new JsonObject
        {
            ["step"] = First.Step,
            ["field"] = First.Field,
            ["a"] = First.A,
            ["b"] = First.B,
        },
        ["sentence"] = Sentence,
        ["remarks"] = new JsonArray([.. Remarks.Select(r => JsonValue.Create(r))]),
    };

    /// <summary>The first field that differs. One that only one of two versions of the program writes is no difference of the runs.</summary>
    private static (string Field, string A, string B)? FirstOf(TrajectoryPoint a, TrajectoryPoint b)
    {
        foreach (var (field, x) in a.Fields)
        {
            if (b.Fields.TryGetValue(field, out var y) && x != y)
            {
                return (field, x, y);
            }
        }

        return null;
    }
}
