using System.CommandLine;
using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Measuring;
using DistTrain.Plans;
using DistTrain.Training.Tasks;

namespace DistTrain.Verbs;

/// <summary><c>plan</c>: what a run would do, without doing it.</summary>
internal static class PlanVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "plan",
            "Show how a run would be cut up, without running it: steps, micro-batches, blocks, each worker's part, the learning rate; with --measure also time and memory.",
            "Examples:\n"
            + "  plan --workers 3\n"
            + "  plan my-run.yaml --set batch.global=1000 --set batch.micro=48\n"
            + "  plan my-run.yaml --plot plan.svg               also draw the learning rate and the global batch over the run\n"
            + "  plan my-run.yaml --measure                     measure some steps here, and predict time and memory for 1, 2, 4 and more workers\n"
            + "  plan my-run.yaml --measure --price-per-worker-hour 0.35 --plot plan.svg\n"
            + "  plan my-run.yaml --verbose                     also every time limit");
        var configuration = new ConfigurationArguments(command, "Workers to plan for; no number has to divide another.");
        var verbose = new Option<bool>("--verbose") { Description = "Also show every time limit that follows from failureDetection." };
        var measure = new Option<bool>("--measure")
        {
            Description = "Measure steps on this machine, some ten seconds for each number of workers, and predict step time, memory and the time of the whole run.",
        };
        var price = Common.Price("--price-per-worker-hour", "What a worker costs in an hour, in any currency, for what is measured to be priced.");
        var plot = Common.Plot("Draw the learning rate and the global batch over the run into this file; with --measure samples/s and the time of a step over workers.");
        var json = Common.Json("One JSON object instead of tables; it holds everything.");
        command.Add(verbose);
        command.Add(measure);
        command.Add(price);
        command.Add(plot);
        command.Add(json);

        // Not a validator of the command's own: where one of these fails, the options' are not asked.
        price.Validators.Add(result =>
        {
            if (result.GetResult(measure) is null or { Implicit: true })
            {
                result.AddError($"{price.Name} says something of what is measured: give --measure, too.");
            }
        });
        command.Configuration = configuration;
        command.SetAction(async (parsed, cancellation) => configuration.Read(parsed, app) is { } options
            ? await RunAsync(
                app, options.WithMicro(FoundMicroBatch.Beside(configuration.Source(parsed))), new Request(parsed.GetValue(measure), parsed.GetValue(price), parsed.GetValue(plot)),
                parsed.GetValue(verbose), parsed.GetValue(json), cancellation)
            : ExitCode.Usage);
        return command;
    }

    private static async Task<int> RunAsync(Application app, RunOptions options, Request request, bool verbose, bool json, CancellationToken cancellation)
    {
        var surroundings = app.Surroundings;
        using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
        RunPlan plan;
        try
        {
            plan = await PlanAsync(app, options, request, supervision.Stop);
        }
        catch (Exception missing) when (missing is DataException or IOException or UnauthorizedAccessException or MeasureException)
        {
            surroundings.Fail(missing.Message);
            return ExitCode.Failure;
        }
        catch (OperationCanceledException) when (supervision.Stop.IsCancellationRequested)
        {
            surroundings.Fail("Stopped before the plan was finished.");
            return ExitCode.Failure;
        }

        if (json)
        {
            surroundings.Out.WriteLine(PlanText.Json(plan).ToJsonString());
        }
        else
        {
            PlanText.Write(surroundings.Out, plan, verbose);
        }

        foreach (var warning in plan.Warnings)
        {
            surroundings.Error.WriteLine($"warning: {warning}");
        }

        return Common.Draw(request.Plot, file => PlanPlot.Write(plan, file), surroundings);
    }

    private static async Task<RunPlan> PlanAsync(Application app, RunOptions options, Request request, CancellationToken stop)
    {
        using var data = await Common.TakeDataAsync(options, app.Surroundings, stop);
        RunPlan plan;
        using (var task = Common.CreateTask(app.Tasks, data.Run))
        {
            if (task.Training.Count < 1)
            {
                throw new DataException($"{options.Data.Name} holds no training samples; check data.path.");
            }

            if (options.Batch.IsAuto && request.Measures)
            {
                var sizes = await SizeMeasurement.TakeAsync(data.Run, task.Training.Count, app.Surroundings, stop);
                app.Surroundings.Error.WriteLine($"batch.micro is auto: {sizes.Choice.Sentence}");
                options = options.WithMicro(sizes.Choice.Size > 0 ? sizes.Choice.Size : throw new MeasureException(sizes.Choice.Sentence));
            }

            plan = RunPlan.Of(options, task.Training.Count, task.Validation.Count);
        }

        if (options.ActivationCheckpointing > 1)
        {
            var remarks = await RemarksAsync(data.Run.WithMicro(plan.Geometry.Micro), app.Surroundings, stop);
            plan = plan with { Warnings = [.. plan.Warnings, .. remarks] };
        }

        if (!request.Measures)
        {
            return plan;
        }

        var workers = RunPrediction.WorkersOf(options.Workers);
        var host = await HostMeasurement.TakeAsync(data.Run.WithMicro(options.Batch.Micro), plan, workers[^1], app.Surroundings, stop);
        IReadOnlyList<RunPrediction> predictions = [.. workers.Select(n => RunPrediction.Of(plan, host, n, request.Price))];
        return plan with { Predictions = predictions, Advice = [.. PlanAdvice.On(predictions, options.Workers, host.Room), PlanAdvice.OnExchange(host.Model.State.Vector)] };
    }

    /// <summary>Whether a model computes its layers in segments is seen when it trains. A plan that cannot find that out is a plan all the same.</summary>
    private static async Task<IReadOnlyList<string>> RemarksAsync(RunOptions options, Surroundings surroundings, CancellationToken stop)
    {
        surroundings.Error.WriteLine($"activationCheckpointing is {options.ActivationCheckpointing}: building the model to see what it makes of that.");
        try
        {
            using var model = await MeasuringGroup.StartAsync(options, 1, surroundings, stop);
            return await model.RemarksAsync(options.Batch.Micro, stop);
        }
        catch (MeasureException e)
        {
            return [$"What the model makes of activationCheckpointing is not known: {e.Message}"];
        }
    }

    /// <summary>What is to be measured.</summary>
    /// <param name="Measures">Whether anything is.</param>
    /// <param name="Price">Of a worker for an hour; null where none is given.</param>
    /// <param name="Plot">The file that is drawn into; null for none.</param>
    private sealed record Request(bool Measures, double? Price, string? Plot);
}
