using System.CommandLine;
using DistTrain.Configuration;
using DistTrain.Core.Faults;
using DistTrain.Launching;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;
using DistTrain.Views;
using V1 = DistTrain.Protocol.V1;

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
            + "  train --out runs/mine --resume                 go on where it was stopped, with the same bits\n"
            + "  train my-run.yaml --faults plan.yaml           with workers that are killed, stopped and cut off on purpose\n\n"
            + "A plan of faults is a YAML file; a fault happens at its step or the first one after it at which it can:\n"
            + "  seed: 7\n"
            + "  faults:\n"
            + "    - kill: { worker: 2, step: 40, block: 3 }     after its third block; without block before its first\n"
            + "    - pause: { worker: 1, step: 55, for: 3s }\n"
            + "    - leave: { worker: 0, step: 60 }\n"
            + "    - join: { step: 70 }\n"
            + "    - cutLink: { workers: [0, 1], step: 80 }\n"
            + "    - restartCoordinator: { step: 90 }\n"
            + "    - killAll: { step: 95, members: 4 }           any fault can wait until so many workers take part\n"
            + "    - fullDisk: { step: 100, steps: 5 }\n"
            + "    - random: { count: 20, from: 10, to: 200, kinds: [kill, pause, leave, join] }\n\n"
            + "The run's folder holds config.yaml, metrics.jsonl, summary.json, checkpoints and logs.");
        var configuration = new ConfigurationArguments(command, "Worker processes; changes how long a run takes, never its bits.", admits: true);
        var folders = new FolderArguments(command);
        var port = Common.WholeNumber("--port", "The coordinator's port on 127.0.0.1; 0 lets the system choose.", "PORT", 0, ushort.MaxValue, standard: 0);
        var restarts = Common.WholeNumber(
            "--max-restarts", "How often a process that a signal ended is started again, in a row without a step completed in between.", "N", 0, 1000,
            standard: LocalRunSettings.StandardRestarts);
        var faults = new Option<string?>("--faults") { Description = "A plan of what is done to the run on purpose.", HelpName = "FILE" };
        var json = Common.Json("One JSON object per event on standard output; the last is the summary.");
        command.Add(port);
        command.Add(restarts);
        command.Add(faults);
        command.Add(json);
        command.SetAction(async (parsed, cancellation) =>
        {
            FaultPlan? plan = null;
            if (folders.Take(parsed, configuration, app, check: options => ReadPlan(parsed.GetValue(faults), options.Workers, app, out plan)) is not { } folder)
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
                MaxRestarts = parsed.GetValue(restarts),
                Faults = plan,
                Program = app.Surroundings.Program,
                Environment = app.Surroundings.Environment,
            };
            return await RunAsync(folder, settings, parsed.GetValue(json), app.Surroundings, cancellation);
        });
        return command;
    }

    /// <summary>Reads the plan of faults, where one is named.</summary>
    /// <returns>Whether it has no mistakes; else all of them are printed.</returns>
    private static bool ReadPlan(string? file, int workers, Application app, out FaultPlan? plan)
    {
        plan = null;
        if (file is null)
        {
            return true;
        }

        (plan, var problems) = FaultPlanFile.Read(file, workers);
        problems.ToList().ForEach(app.Surroundings.Fail);
        return plan is not null;
    }

    private static async Task<int> RunAsync(TakenFolder folder, LocalRunSettings settings, bool json, Surroundings surroundings, CancellationToken cancellation)
    {
        using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
        var (held, ended) = await TakeDataAsync(folder, surroundings, supervision.Stop);
        using var data = held;
        if (data is null)
        {
            return Tell(ended!, folder: null, json, surroundings);
        }

        if (settings.Faults is { } plan)
        {
            await File.WriteAllTextAsync(Path.Combine(settings.Folder, "faults.yaml"), plan.Write(), cancellation);
        }

        LocalRunResult result;
        await using (var viewer = RunViewers.For(surroundings, json))
        using (StopNotice.On(StopNotice.OfRun, sentence => Say(sentence, viewer, json, surroundings), supervision.Stop))
        {
            result = await new LocalRun(settings, viewer, surroundings.Time).RunAsync(supervision.Stop);
        }

        var isGone = false;
        if (!result.HasBegun)
        {
            // The same command is to work when what kept the run from beginning has passed. Logs that the sentence names are to be read first.
            folder.GiveBack();
            isGone = !folder.Resume && !result.Sentence.Contains(Path.Combine(settings.Folder, "logs"), StringComparison.Ordinal) && RunFolder.Abandon(settings.Folder, withLogs: true);
        }

        return Tell(result, isGone ? null : settings.Folder, json, surroundings);
    }

    /// <summary>Says how the run ended.</summary>
    /// <returns>The exit code.</returns>
    private static int Tell(LocalRunResult result, string? folder, bool json, Surroundings surroundings)
    {
        RunSummary.Write(surroundings.Out, result, folder, json);
        if (!result.Success)
        {
            surroundings.Fail(result.Sentence);
        }

        return result.Success ? ExitCode.Success : ExitCode.Failure;
    }

    /// <summary>Tells people; on a terminal in the picture, which would be drawn over a line beside it.</summary>
    private static void Say(string sentence, IRunViewer viewer, bool json, Surroundings surroundings)
    {
        if (surroundings.IsTerminal && !json)
        {
            viewer.Show(new V1.RunEvent { Happening = new V1.Happening { Name = "stopping", Sentence = sentence } });
        }
        else
        {
            surroundings.Error.WriteLine(sentence);
        }
    }

    /// <summary>
    /// The processes find in the cache what is at an address: so what takes its time is shown here, and what is wrong is said before there is a run.
    /// </summary>
    /// <returns>What keeps it there; null where it cannot be had, and how the run so ended before it began.</returns>
    private static async Task<(HeldData? Held, LocalRunResult? Ended)> TakeDataAsync(TakenFolder folder, Surroundings surroundings, CancellationToken stop)
    {
        try
        {
            return (await Common.TakeDataAsync(folder.Options, surroundings, stop), null);
        }
        catch (Exception e) when (e is DataException or OperationCanceledException)
        {
            folder.GiveBack();
            if (!folder.Resume)
            {
                RunFolder.Abandon(folder.Path);
            }

            return (null, e is DataException ? new LocalRunResult(false, e.Message, null) : LocalRunResult.Stopped);
        }
    }
}
