using System.CommandLine;
using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Measuring;
using DistTrain.Sweeping;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Verbs;

/// <summary><c>sweep</c>: what the batch size does to convergence, time and memory.</summary>
internal static class SweepVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "sweep",
            "Train a recipe with several global batches, each with several learning rates, and say which batch suits it: steps and samples to a loss, the critical batch, gap, time and memory.",
            "Examples:\n"
            + "  sweep digits --batches 16,32,64,128,256,512\n"
            + "  sweep my-run.yaml --batches 64,256,1024 --rates 0.25x,0.5x,1x,2x,4x --target 0.4\n"
            + "  sweep digits --batches 32,128,512 --optimizers sgd,adamw=0.002 --samples 20000\n"
            + "  sweep --branch runs/digits --batches 16,64,256 --rates 0.01,0.02,0.05 --samples 5000     from a checkpoint on\n"
            + "  sweep digits --batches 32,128,512 --rates 1x --seeds 3      intervals that contain what chance does\n"
            + "  sweep my-run.yaml --batches 64,256,1024 --on kubernetes --queue team --dry-run     a Job for each run\n"
            + "  sweep digits --batches 16,32,64,128,256,512 --json       for programs: one object\n\n"
            + "The data come in the same order for every batch. A rate such as 2x is a multiple of the recipe's own, taken to the batch by the rule of thumb: in proportion\n"
            + "for sgd and lars, with the square root for adam, adamw and lamb. After the recipe's warm-up the rate stays, so that the samples to a loss do not depend on when a\n"
            + "run would have ended; --keep-schedule has it follow the recipe. What decides the best rate of a batch is the fewest samples to the target loss.\n"
            + "From a checkpoint on, 1x is the rate with which its run went on, at the batch that it then had. Where that has come down to 0, as at the end of a cosine, rates are given as they are.\n"
            + "Every run is a process group of its own with one worker, and ends with this command. The same command goes on with a sweep that was ended, and trains nothing twice;\n"
            + "with other batches or rates and the same --out it trains only those, and reports on all runs in the folder. The folder holds report.html, which needs no network, its pictures, sweep.csv, sweep.json, and the runs in cells/.");
        var configuration = new ConfigurationArguments(command, workers: null);
        var arguments = new SweepArguments(command);
        configuration.MayDependOn(arguments.Branches);
        command.Configuration = configuration;
        var json = Common.Json("One JSON object instead of tables; sweep.json holds the same.");
        command.Add(json);
        var kubernetes = new SweepOnKubernetes(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            var (branch, missing) = arguments.Branch(parsed);
            var (request, mistakes) = missing is null || configuration.Source(parsed) is not null
                ? Take(configuration.ReadAll(parsed, app, branch is null ? null : RunFolder.ConfigurationIn(branch.Run)))
                : (null, []);
            if (missing is not null)
            {
                mistakes = [missing, .. mistakes];
            }

            if (request is null || mistakes.Count > 0)
            {
                mistakes.ToList().ForEach(app.Surroundings.Fail);
                return ExitCode.Usage;
            }

            if (SetAside.Sentence(request.Recipe, branch) is { } sentence)
            {
                app.Surroundings.Error.WriteLine(sentence);
            }

            return kubernetes.IsWanted(parsed)
                ? await kubernetes.RunAsync(parsed, app, configuration, request, parsed.GetValue(json), cancellation)
                : await RunAsync(app, request, parsed.GetValue(json), cancellation);

            (SweepRequest? Request, IReadOnlyList<string> Mistakes) Take(DistTrain.Configuration.RunConfiguration read)
            {
                if (read.Problems.Count > 0)
                {
                    return (null, read.Problems);
                }

                var (asked, wrong) = arguments.Take(parsed, read.Options, branch);
                return (asked, [.. wrong, .. kubernetes.IsWanted(parsed) ? SweepOnKubernetes.Mistakes(parsed, app, configuration, branch) : new[] { SweepFolder.Mistake(asked.Folder) }.OfType<string>()]);
            }
        });
        return command;
    }

    private static async Task<int> RunAsync(Application app, SweepRequest request, bool json, CancellationToken cancellation)
    {
        var surroundings = app.Surroundings;
        using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
        try
        {
            using var data = await Common.TakeDataAsync(request.Recipe, surroundings, supervision.Stop);
            var settings = Settings(app, request, data);
            using var folder = SweepFolder.Take(settings.Folder);
            using var notice = StopNotice.On(StopNotice.OfRuns, surroundings.Error.WriteLine, supervision.Stop);
            var report = SweepReport.Of(settings, await new Sweep(settings, app).RunAsync(supervision.Stop));
            SweepFiles.Write(report);
            if (json)
            {
                surroundings.Out.WriteLine(SweepText.Json(report).ToJsonString());
            }
            else
            {
                SweepText.Write(surroundings.Out, report);
            }

            return ExitCode.Success;
        }
        catch (SweepException e)
        {
            e.Sentences.ToList().ForEach(surroundings.Fail);
            return e.IsUsage ? ExitCode.Usage : ExitCode.Failure;
        }
        catch (Exception missing) when (missing is DataException or IOException or UnauthorizedAccessException)
        {
            surroundings.Fail(missing.Message);
        }
        catch (OperationCanceledException) when (supervision.Stop.IsCancellationRequested)
        {
            surroundings.Fail("Stopped before every run was done: the same command goes on.");
        }

        return ExitCode.Failure;
    }

    private static SweepSettings Settings(Application app, SweepRequest request, HeldData data)
    {
        using var task = Common.CreateTask(app.Tasks, data.Run);
        if (task.Training.Count < 1)
        {
            throw new DataException($"{request.Recipe.Data.Name} holds no training samples; check data.path.");
        }

        var settings = new SweepSettings
        {
            Options = request.Options,
            Cells = request.Cells,
            Target = request.Target,
            Samples = request.Samples ?? SweepSettings.BudgetOf(request.Recipe, task.Training.Count),
            KeepsSchedule = request.KeepsSchedule,
            Parallel = request.Parallel ?? HostMeasurement.RoomOf(Environment.ProcessorCount, request.Recipe.Threads),
            Folder = request.Folder,
            TrainingSamples = task.Training.Count,
            ValidationSamples = task.Validation.Count,
            Branch = request.Branch,
        };
        var wrong = settings.Cells.SelectMany(c => settings.OptionsOf(c).Validate()).Select(p => p.ToString()).Distinct().ToList();
        if (task.Validation.Count < 1)
        {
            wrong.Insert(0, $"{request.Recipe.Data.Name} holds no validation samples, and batches are compared by the validation loss: give data that has some.");
        }

        return wrong.Count == 0 ? settings : throw new SweepException(wrong, isUsage: true);
    }
}
