using System.CommandLine;
using DistTrain.Configuration;
using DistTrain.Launching;
using DistTrain.Views;

namespace DistTrain.Verbs;

/// <summary><c>train</c>: a whole run on this machine.</summary>
internal static class TrainVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "train",
            "Train on this machine: one coordinator process and N worker processes, which end with this command.",
            "Examples:\n"
            + "  train                                          the default recipe, 2 workers\n"
            + "  train fashion-mnist-cnn --workers 4            another recipe, 4 workers: same bits, sooner\n"
            + "  train my-run.yaml --set batch.global=4096      a file, one key changed\n"
            + "  train my-run.yaml --out runs/mine --json       for programs: one object per event, the summary last\n"
            + "  train --out runs/mine --resume                 go on where it was stopped, with the same bits\n\n"
            + "The run's folder holds config.yaml, metrics.jsonl, summary.json, checkpoints and logs.");
        var configuration = new ConfigurationArguments(command, "Worker processes; changes how long a run takes, never its bits.", admits: true);
        var folders = new FolderArguments(command);
        var port = Common.WholeNumber("--port", "The coordinator's port on 127.0.0.1; 0 lets the system choose.", "PORT", 0, ushort.MaxValue, standard: 0);
        var json = Common.Json("One JSON object per event on standard output; the last is the summary.");
        command.Add(port);
        command.Add(json);
        command.SetAction(async (parsed, cancellation) =>
        {
            if (folders.Take(parsed, configuration, app) is not { } folder)
            {
                return ExitCode.Usage;
            }

            var settings = new LocalRunSettings
            {
                Options = folder.Options,
                Folder = folder.Path,
                Resume = folder.Resume,
                Checkpoint = folder.Checkpoint,
                Port = parsed.GetValue(port),
                Program = app.Surroundings.Program,
                Environment = app.Surroundings.Environment,
            };
            return await RunAsync(settings, parsed.GetValue(json), app.Surroundings, cancellation);
        });
        return command;
    }

    private static async Task<int> RunAsync(LocalRunSettings settings, bool json, Surroundings surroundings, CancellationToken cancellation)
    {
        using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
        LocalRunResult result;
        await using (var viewer = RunViewers.For(surroundings, json))
        {
            result = await new LocalRun(settings, viewer, surroundings.Time).RunAsync(supervision.Stop);
        }

        RunSummary.Write(surroundings.Out, result, settings.Folder, json);
        if (!result.Success)
        {
            surroundings.Fail(result.Sentence);
        }

        return result.Success ? ExitCode.Success : ExitCode.Failure;
    }
}
