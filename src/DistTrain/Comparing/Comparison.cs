using System.Text.Json.Nodes;
using DistTrain.Views;

namespace DistTrain.Comparing;

/// <summary>Where two runs part.</summary>
/// <param name="Step">The first step that is not the same.</param>
/// <param name="Field">The field that differs; null where one run has no such step.</param>
/// <param name="A">What the first run says; null where it has no such step.</param>
/// <param name="B">What the second run says.</param>
internal sealed record Difference(long Step, string? Field, string? A, string? B);

/// <summary>Two trajectories held against each other.</summary>
/// <param name="EqualSteps">How many steps are the same before the first difference.</param>
/// <param name="First">The first difference; null where there is none.</param>
/// <param name="Sentence">The result for people.</param>
internal sealed record Comparison(long EqualSteps, Difference? First, string Sentence)
{
    /// <summary>Compares step by step.</summary>
    public static Comparison Of(Trajectory a, Trajectory b)
    {
        long equal = 0;
        foreach (var step in a.Steps.Keys.Union(b.Steps.Keys).Order())
        {
            var (left, right) = (a.Steps.GetValueOrDefault(step), b.Steps.GetValueOrDefault(step));
            if (left is null || right is null)
            {
                var (lacking, having) = left is null ? (a, b) : (b, a);
                var end = lacking.Steps.Keys.Last();
                var how = end < step ? $"ends at step {end}" : $"has no step {step}";
                return new Comparison(
                    equal,
                    new Difference(step, null, left?.Fields["weightsHash"], right?.Fields["weightsHash"]),
                    $"{lacking.Path} {how}, {having.Path} goes on to step {having.Steps.Keys.Last()}; the {Words.Count(equal, "step")} before {(equal == 1 ? "is" : "are")} the same.");
            }

            // A field that only one of two versions of the program writes is no difference of the runs.
            foreach (var field in Trajectory.Compared.Where(f => left.Fields.ContainsKey(f) && right.Fields.ContainsKey(f)))
            {
                var (x, y) = (left.Fields[field], right.Fields[field]);
                if (x != y)
                {
                    return new Comparison(
                        equal,
                        new Difference(step, field, x, y),
                        $"The runs differ from step {step} on: {field} is {x} in {a.Path} and {y} in {b.Path}.");
                }
            }

            equal++;
        }

        var last = a.Steps.Last().Value;
        return new Comparison(equal, null, $"The runs are the same, bit for bit: {Words.Count(equal, "step")}, weights {last.Fields["weightsHash"]} after step {last.Step}.");
    }

    /// <summary>The result for programs.</summary>
    public JsonObject Json() => new()
    {
        ["equal"] = First is null,
        ["equalSteps"] = EqualSteps,
        ["firstDifference"] = First is null ? null : new JsonObject
        {
            ["step"] = First.Step,
            ["field"] = First.Field,
            ["a"] = First.A,
            ["b"] = First.B,
        },
        ["sentence"] = Sentence,
    };
}
