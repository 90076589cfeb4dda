using System.CommandLine;
using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Measuring;
using DistTrain.Plans;
using DistTrain.Training.Tasks;

namespace DistTrain.Verbs;

/// <summary><c>tune</c>: which micro-batch suits this machine.</summary>
internal static class TuneVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "tune",
            "Find the micro-batch that suits this machine: samples/s and memory over its size. The global batch stays what it is.",
            "Examples:\n"
            + "  tune fashion-mnist-cnn\n"
            + "  tune my-run.yaml --workers 1 --set memory.limit=2GB\n"
            + "  tune my-run.yaml --plot tune.svg --json        for programs: one object, and a picture\n\n"
            + "batch.micro decides the bits of a run: put down the size that you choose, or batch.micro: auto, with which a run finds it and writes it down.");
        var configuration = new ConfigurationArguments(command, "Workers that share this machine: as many as compute at a time measure together.");
        var plot = Common.Plot("Draw samples/s and memory over the size into this file.");
        var json = Common.Json("One JSON object instead of a table.");
        command.Add(plot);
        command.Add(json);
        command.Configuration = configuration;
        command.SetAction(async (parsed, cancellation) => configuration.Read(parsed, app) is { } options
            ? await RunAsync(app, options, parsed.GetValue(plot), parsed.GetValue(json), cancellation)
            : ExitCode.Usage);
        return command;
    }

    private static async Task<int> RunAsync(Application app, RunOptions options, string? plot, bool json, CancellationToken cancellation)
    {
        var surroundings = app.Surroundings;
        using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
        try
        {
            using var data = await Common.TakeDataAsync(options, surroundings, supervision.Stop);
            using var task = Common.CreateTask(app.Tasks, data.Run);
            if (task.Training.Count < 1)
            {
                throw new DataException($"{options.Data.Name} holds no training samples; check data.path.");
            }

            var sizes = await SizeMeasurement.TakeAsync(data.Run, task.Training.Count, surroundings, supervision.Stop);
            if (json)
            {
                surroundings.Out.WriteLine(TuneText.Json(options.Name, sizes).ToJsonString());
            }
            else if (sizes.Costs.Count > 0)
            {
                TuneText.Write(surroundings.Out, options.Name, sizes);
            }

            if (sizes.Choice.Size == 0)
            {
                surroundings.Fail($"{sizes.Choice.Sentence} Raise memory.limit, have fewer workers, or take a smaller model.");
            }

            var drawn = Common.Draw(sizes.Costs.Count > 0 ? plot : null, file => TuneText.Plot(file, options.Name, sizes), surroundings);
            return sizes.Choice.Size > 0 ? drawn : ExitCode.Failure;
        }
        catch (Exception missing) when (missing is DataException or IOException or UnauthorizedAccessException or MeasureException)
        {
            surroundings.Fail(missing.Message);
        }
        catch (OperationCanceledException) when (supervision.Stop.IsCancellationRequested)
        {
            surroundings.Fail("Stopped before everything was measured.");
        }

        return ExitCode.Failure;
    }
}
