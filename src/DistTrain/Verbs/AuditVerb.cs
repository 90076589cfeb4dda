using System.CommandLine;
using DistTrain.Auditing;

namespace DistTrain.Verbs;

/// <summary><c>audit</c>: whether a run did what it should, from what it left behind.</summary>
internal static class AuditVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "audit",
            "Check a run by its folder alone, whatever was killed: every sample once an epoch, every block once a step, whole checkpoints, and files that agree with "
            + "each other. Exit code 0 where everything holds, 1 where something does not.",
            "Examples:\n"
            + "  audit runs/digits\n"
            + "  audit runs/digits --json                       for programs\n\n"
            + "One line a check: ok, FAILED, or unchecked where the folder does not say enough to tell. Of a step that was computed again the last line counts. A run\n"
            + "without summary.json is unfinished, which is no failure; nor is a last line that a killed process has torn.");
        var run = new Argument<string>("RUN") { Description = "A run's folder." };
        var json = Common.Json("One JSON object instead of lines.");
        command.Add(run);
        command.Add(json);
        command.SetAction(parsed => Run(app.Surroundings, parsed.GetValue(run)!, parsed.GetValue(json)));
        return command;
    }

    private static int Run(Surroundings surroundings, string run, bool json)
    {
        var missing = Common.Missing(run, "a run's folder") ?? (Directory.Exists(run) ? null : $"{run} is a file: give a run's folder.");
        if ((missing ?? (EvidenceReader.IsOfRun(run) ? null : $"{run} holds no run, neither its configuration nor its steps: give a run's folder.")) is { } problem)
        {
            surroundings.Fail(problem);
            return ExitCode.Usage;
        }

        var audit = Audit.Of(new EvidenceReader(run).Read());
        if (json)
        {
            surroundings.Out.WriteLine(audit.Json().ToJsonString());
        }
        else
        {
            foreach (var finding in audit.Findings)
            {
                var verdict = finding.Holds switch { true => "ok", false => "FAILED", null => "unchecked" };
                surroundings.Out.WriteLine($"{verdict,-9}  {finding.Check,-13}  {finding.Sentence}");
            }
        }

        return audit.Holds ? ExitCode.Success : ExitCode.Failure;
    }
}
