using System.CommandLine;
using System.Text.Json.Nodes;
using DistTrain.Comparing;

namespace DistTrain.Verbs;

/// <summary><c>verify</c>: whether two runs went through the same bits.</summary>
internal static class VerifyVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "verify",
            "Compare two runs step by step: the hash of the weights, the loss, whatever else decides a step, and every evaluation. Exit code 0 where they "
            + "are the same bit for bit, 1 where they differ or one is shorter.",
            "Examples:\n"
            + "  train --workers 1 --out runs/one\n"
            + "  train --workers 3 --out runs/three\n"
            + "  verify runs/one runs/three\n\n"
            + "Of a step that was computed again the last line counts. A last line that a killed process has torn is left out, with a warning.");
        var a = new Argument<string>("A") { Description = "A run's folder." };
        var b = new Argument<string>("B") { Description = "Another run's folder." };
        var json = Common.Json("One JSON object instead of a sentence.");
        command.Add(a);
        command.Add(b);
        command.Add(json);
        command.SetAction(parsed => Run(app.Surroundings, parsed.GetValue(a)!, parsed.GetValue(b)!, parsed.GetValue(json)));
        return command;
    }

    private static int Run(Surroundings surroundings, string a, string b, bool json)
    {
        string[] missing = [.. new[] { a, b }.Select(p => Common.Missing(p, "a run's folder")).OfType<string>().Distinct()];
        if (missing.Length > 0)
        {
            return Refuse(surroundings, missing, json, ExitCode.Usage);
        }

        var (left, leftProblem) = Trajectory.Read(a);
        var (right, rightProblem) = Trajectory.Read(b);
        if (left is null || right is null)
        {
            return Refuse(surroundings, [.. new[] { leftProblem, rightProblem }.OfType<string>().Distinct()], json, ExitCode.Failure);
        }

        var comparison = Comparison.Of(left, right);
        foreach (var remark in comparison.Remarks)
        {
            surroundings.Error.WriteLine($"warning: {remark}");
        }

        surroundings.Out.WriteLine(json ? comparison.Json().ToJsonString() : comparison.Sentence);
        return comparison.First is null ? ExitCode.Success : ExitCode.Failure;
    }

    private static int Refuse(Surroundings surroundings, string[] problems, bool json, int code)
    {
        foreach (var problem in problems)
        {
            surroundings.Fail(problem);
        }

        if (json)
        {
            surroundings.Out.WriteLine(new JsonObject { ["equal"] = null, ["sentence"] = string.Join(" ", problems) }.ToJsonString());
        }

        return code;
    }
}
