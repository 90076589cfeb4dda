using System.CommandLine;
using DistTrain.Benching;
using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Verbs;

/// <summary><c>bench step</c>: where the time of a step goes, and what more workers bring.</summary>
internal static class BenchStepVerb
{
    private const int MostWorkers = 64;

    /// <summary>Steps at the beginning of a run that do not count.</summary>
    private const int Uncounted = 8;

    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "step",
            "Train some steps with each number of workers and say where the time of a step goes, and how much more workers bring.",
            "Examples:\n"
            + "  bench step                                             the default recipe, 1 and 2 workers\n"
            + "  bench step fashion-mnist-cnn --workers 1,2,4 --json    for programs: one object\n"
            + "  bench step gpt-bytes --set transport=grpc              gradients by another way\n\n"
            + $"The first {Uncounted} steps of a run do not count. The global batch is the same for all: with more workers each has a smaller part of it.");
        var configuration = new ConfigurationArguments(command, workers: null);
        var workers = Lists.Option(
            "--workers", "Numbers of workers, the first to compare with.", "N,...", "1,2",
            text => int.TryParse(text, out var number) && number is >= 1 and <= MostWorkers ? (number, null) : (0, $"'{text}' must be a whole number between 1 and {MostWorkers}"));
        workers.Aliases.Add("-w");
        var steps = Common.WholeNumber("--steps", "Steps of a run.", "N", Uncounted + 1, 1_000_000, standard: 60);
        var rounds = Common.WholeNumber("--rounds", "Runs with each number of workers, in turns; the median counts.", "N", 1, 1000, standard: 3);
        var json = Common.Json("One JSON object instead of a table.");
        command.Add(workers);
        command.Add(steps);
        command.Add(rounds);
        command.Add(json);
        command.SetAction(async (parsed, cancellation) => configuration.Read(parsed, app) is { } options
            ? await RunAsync(options, parsed.GetValue(workers)!.Values, parsed.GetValue(steps), parsed.GetValue(rounds), parsed.GetValue(json), app.Surroundings, cancellation)
            : ExitCode.Usage);
        return command;
    }

    private static async Task<int> RunAsync(
        RunOptions options, IReadOnlyList<int> workers, int steps, int rounds, bool json, Surroundings surroundings, CancellationToken cancellation)
    {
        using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
        try
        {
            using var data = await Common.TakeDataAsync(options, surroundings, supervision.Stop);
            var report = await new StepBench(surroundings, options, steps, Uncounted).RunAsync(workers, rounds, supervision.Stop);
            if (json)
            {
                surroundings.Out.WriteLine(report.Json().ToJsonString());
            }
            else
            {
                report.Write(surroundings.Out);
            }

            return ExitCode.Success;
        }
        catch (Exception e) when (e is BenchException or DataException)
        {
            surroundings.Fail(e.Message);
        }
        catch (OperationCanceledException) when (supervision.Stop.IsCancellationRequested)
        {
            surroundings.Fail("Stopped before all was measured.");
        }

        return ExitCode.Failure;
    }
}
