using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace DistTrain.Verbs;

/// <summary>All verbs under one root, and the manners they share: usage errors end with 2, <c>--help</c> teaches.</summary>
internal static class CommandTree
{
    /// <summary>Parses the arguments and runs the verb they name.</summary>
    public static async Task<int> RunAsync(string[] args, Application app, CancellationToken cancellation)
    {
        var root = new RootCommand(
            "Elastic distributed data-parallel training. State the global batch; any number of workers trains the same bits.\n\n"
            + "Start here:\n"
            + "  train                          train the default recipe with 2 workers on this machine\n"
            + "  recipes                        list what can be trained\n"
            + "  train --help                   how to change a run, and every configuration key\n\n"
            + "Exit codes: 0 success; 1 failure, or a comparison that differs; 2 bad usage or configuration.")
        {
            TrainVerb.Create(app),
            PlanVerb.Create(app),
            TuneVerb.Create(app),
            SweepVerb.Create(app),
            PlotVerb.Create(app),
            VerifyVerb.Create(app),
            AuditVerb.Create(app),
            PredictVerb.Create(app),
            RecipesVerb.Create(app),
            BenchVerb.Create(app),
            MeasureVerb.Create(app),
            CoordinatorVerb.Create(app),
            WorkerVerb.Create(app),
            ExchangeWorkerVerb.Create(app),
            LaunchVerb.Create(app),
            StatusVerb.Create(app),
            ScaleVerb.Create(app),
            LogsVerb.Create(app),
            DeleteVerb.Create(app),
        };
        var help = root.Options.OfType<HelpOption>().Single();
        help.Action = new TeachingHelp((HelpAction)help.Action!, app.Tasks);

        var surroundings = app.Surroundings;
        if (args is [MeasureVerb.Name, var verb, ..] && !verb.StartsWith('-'))
        {
            MeasureVerb.OfferToKernel();
            args = args[1..];
        }

        if (args.Length == 0)
        {
            root.Parse(["--help"]).Invoke(new InvocationConfiguration { Output = surroundings.Error });
            return ExitCode.Usage;
        }

        // A file name that starts with @ is a file name.
        var parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Action is ParseErrorAction || (parsed.Action is null && parsed.Errors.Count > 0))
        {
            foreach (var error in parsed.Errors)
            {
                surroundings.Fail(error.Message);
            }

            foreach (var problem in (parsed.CommandResult.Command as VerbCommand)?.Configuration?.ProblemsBeside(parsed, app) ?? [])
            {
                surroundings.Fail(problem);
            }

            var path = string.Concat(Path(parsed.CommandResult.Command).Reverse().Skip(1).Select(name => $" {name}"));
            surroundings.Error.WriteLine($"See '{RootCommand.ExecutableName}{path} --help'.");
            return ExitCode.Usage;
        }

        // Signals are Supervision's: the library would give a run two seconds to end.
        var invocation = new InvocationConfiguration
        {
            Output = surroundings.Out,
            Error = surroundings.Error,
            EnableDefaultExceptionHandler = false,
            ProcessTerminationTimeout = null,
        };
        try
        {
            return await parsed.InvokeAsync(invocation, cancellation);
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            // Standard output, too, may be a full disk.
            surroundings.Fail(refused.Message);
        }
        catch (Exception bug) when (bug is not OperationCanceledException)
        {
            Common.Unexpected(bug, surroundings);
        }

        return ExitCode.Failure;
    }

    /// <summary>A verb's name and those of the verbs it is under, itself first, the root last.</summary>
    private static IEnumerable<string> Path(Command command) =>
        [command.Name, .. command.Parents.OfType<Command>().Take(1).SelectMany(Path)];
}
