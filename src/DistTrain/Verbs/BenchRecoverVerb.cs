using System.CommandLine;
using DistTrain.Benching;
using DistTrain.Configuration;
using DistTrain.Core.Options;
using DistTrain.Launching;

namespace DistTrain.Verbs;

/// <summary><c>bench recover</c>: how long a run takes to go on after a loss.</summary>
internal static class BenchRecoverVerb
{
    private const int StandardWorkers = 4;

    /// <summary>More steps than the faults take: the run is stopped when it has recovered from the last.</summary>
    private const long Steps = 1_000_000;

    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "recover",
            "Train, kill and stop processes on the way, and say how long the run takes to go on after each.",
            "Examples:\n"
            + "  bench recover                                         the default recipe, 4 workers\n"
            + "  bench recover fashion-mnist-mlp --kills 20 --json     for programs: one object\n\n"
            + "Workers and the coordinator are killed, and at last one worker is stopped for twice failureDetection, so that it is silent and not gone. A killed worker\n"
            + $"may cost {RecoveryReport.LossMs:N0} ms, a silent one {RecoveryReport.LossMs:N0} ms beside failureDetection ({RecoveryReport.SilentMs(new RunOptions().FailureDetection):N0} ms, where that is {Duration.Format(new RunOptions().FailureDetection)}), a coordinator {RecoveryReport.CoordinatorMs:N0} ms from when it listens again:\n"
            + "limits for 95 of 100 losses, on an idle machine with a core for every worker.");
        var configuration = new ConfigurationArguments(command, $"Worker processes; {StandardWorkers} where left away.");
        var kills = Common.WholeNumber("--kills", "How often a worker is killed.", "N", 1, 1000, standard: 10);
        var restarts = Common.WholeNumber("--restarts", "How often the coordinator is killed.", "N", 0, 1000, standard: 3);
        var @out = new Option<string?>("--out", "-o")
        {
            Description = "The run's folder, new or empty; runs/bench-recover, or the next free runs/bench-recover-2, where left away.",
            HelpName = "DIR",
        };
        var json = Common.Json("One JSON object instead of tables.");
        command.Add(kills);
        command.Add(restarts);
        command.Add(@out);
        command.Add(json);
        command.SetAction(async (parsed, cancellation) =>
        {
            if (configuration.Read(parsed, app, standardWorkers: StandardWorkers) is not { } options)
            {
                return ExitCode.Usage;
            }

            if (options.Workers < 2)
            {
                app.Surroundings.Fail($"workers is '{options.Workers}': must be 2 or more, as one has to go on while another is lost.");
                return ExitCode.Usage;
            }

            if (MeasuredRun.Remark(options, options.Batch.Global) is { } remark)
            {
                app.Surroundings.Error.WriteLine(remark);
            }

            options = MeasuredRun.Of(options, Steps) with { Name = "bench-recover" };
            var (folder, problem, _) = RunFolder.Claim(parsed.GetValue(@out), options.Name, RunConfiguration.Write(options));
            if (folder is null)
            {
                app.Surroundings.Fail(problem!);
                return ExitCode.Usage;
            }

            var settings = new LocalRunSettings
            {
                Options = options,
                Folder = folder,
                Program = app.Surroundings.Program,
                Environment = app.Surroundings.Environment,
                Faults = RecoveryPlan.Of(options.Workers, parsed.GetValue(kills), parsed.GetValue(restarts), options.FailureDetection),
            };
            return await RunAsync(settings, parsed.GetValue(json), app.Surroundings, cancellation);
        });
        return command;
    }

    private static async Task<int> RunAsync(LocalRunSettings settings, bool json, Surroundings surroundings, CancellationToken cancellation)
    {
        using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
        await File.WriteAllTextAsync(Path.Combine(settings.Folder, "faults.yaml"), settings.Faults!.Write(), cancellation);
        await using var bench = new RecoveryBench(settings, json ? null : surroundings.Out, surroundings.Time);
        var (log, problem) = await bench.RunAsync(supervision.Stop);
        var report = new RecoveryReport(log, settings.Options.FailureDetection);
        if (json)
        {
            surroundings.Out.WriteLine(report.Json().ToJsonString());
        }
        else
        {
            surroundings.Out.WriteLine();
            report.Write(surroundings.Out);
        }

        if (problem is not null)
        {
            surroundings.Fail(problem);
        }

        return problem is null ? ExitCode.Success : ExitCode.Failure;
    }
}
