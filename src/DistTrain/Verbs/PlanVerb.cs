using System.CommandLine;
using DistTrain.Core.Options;
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
            "Show how a run would be cut up, without running it: steps, micro-batches, blocks, each worker's part, the learning rate.",
            "Examples:\n"
            + "  plan --workers 3\n"
            + "  plan my-run.yaml --set batch.global=1000 --set batch.micro=48\n"
            + "  plan my-run.yaml --verbose                     also every time limit");
        var configuration = new ConfigurationArguments(command, "Workers to plan for; no number has to divide another.");
        var verbose = new Option<bool>("--verbose") { Description = "Also show every time limit that follows from failureDetection." };
        var json = Common.Json("One JSON object instead of tables; it holds everything.");
        command.Add(verbose);
        command.Add(json);
        command.SetAction(async (parsed, cancellation) => configuration.Read(parsed, app) is { } options
            ? await RunAsync(app, options.WithMicro(FoundMicroBatch.Beside(configuration.Source(parsed))), parsed.GetValue(verbose), parsed.GetValue(json), cancellation)
            : ExitCode.Usage);
        return command;
    }

    private static async Task<int> RunAsync(Application app, RunOptions options, bool verbose, bool json, CancellationToken cancellation)
    {
        var surroundings = app.Surroundings;
        RunPlan plan;
        try
        {
            using var data = await Common.TakeDataAsync(options, surroundings, cancellation);
            using var task = Common.CreateTask(app.Tasks, data.Run);
            if (task.Training.Count < 1)
            {
                throw new DataException($"{options.Data.Name} holds no training samples; check data.path.");
            }

            plan = RunPlan.Of(options, task.Training.Count, task.Validation.Count);
        }
        catch (Exception missing) when (missing is DataException or IOException or UnauthorizedAccessException)
        {
            surroundings.Fail(missing.Message);
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

        return ExitCode.Success;
    }
}
