using System.CommandLine;
using DistTrain.Configuration;
using DistTrain.Coordinator;
using DistTrain.Coordinator.Health;
using DistTrain.Core;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Kubernetes.InCluster;
using DistTrain.Launching;
using DistTrain.Protocol.Faults;
using DistTrain.Views;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Verbs;

/// <summary><c>coordinator</c>: owns a run whose workers are started elsewhere.</summary>
internal static class CoordinatorVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "coordinator",
            "Own a run: wait for the workers, hand out the work, keep the run's folder. Start workers with the verb 'worker'.",
            "Examples:\n"
            + "  coordinator my-run.yaml --workers 3                        for workers on this machine\n"
            + "  coordinator my-run.yaml --listen 0.0.0.0:5400              for workers on other machines\n"
            + "  coordinator digits --listen 127.0.0.1:0 --json             for programs: the first line says where it listens\n"
            + "  coordinator my-run.yaml --out runs/mine --resume           begin, or go on where another coordinator was stopped or killed\n"
            + "  coordinator my-run.yaml --health 0.0.0.0:8080              answer probes, and show metrics\n\n"
            + "With --scale-down exit codes are for a Job: 0 the run is complete; 2 no other start would mend it; 143 it was asked to end, and 1 it failed:\n"
            + "the next pod goes on, with --resume.");
        var configuration = new ConfigurationArguments(command, "How many workers the run waits for before its first step.", admits: true);
        var listen = Common.Listen("127.0.0.1:5400", "Where workers reach it. Only this machine does, unless you say otherwise.");
        var folders = new FolderArguments(command);
        var json = Common.Json("One JSON object per line on standard output: where it listens, every event, the summary.");
        var health = HealthEndpoint.Option();
        var scaleDown = ClusterOptions.ScaleDown("In a cluster, the workers' Deployment: it is set to 0 when the run is over, and exit codes are for a Job.");
        command.Add(listen);
        command.Add(health);
        command.Add(scaleDown);
        command.Add(json);
        command.SetAction(async (parsed, cancellation) =>
        {
            var surroundings = app.Surroundings;
            using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
            var vitals = new CoordinatorVitals(surroundings.Time);
            await using var endpoint = await HealthEndpoint.StartAsync(
                parsed.GetValue(health), vitals, new CoordinatorMeter(vitals), CoordinatorMeter.Name, surroundings, supervision.Stop);
            var pod = parsed.GetValue(scaleDown) is { } deployment ? new CoordinatorPod(deployment, vitals, surroundings) : null;
            if (pod is null)
            {
                return endpoint is null ? ExitCode.Failure : (await OwnAsync()).Code;
            }

            var (code, outcome) = (ExitCode.Failure, default(RunOutcome));
            try
            {
                if (endpoint is not null && (folders.Resumed(parsed) is not { } there || await pod.AwaitFolderAsync(there, supervision.Stop)))
                {
                    (code, outcome) = await OwnAsync();
                }
            }
            catch (Exception broken)
            {
                // Whatever it is: the Job reads the exit code, and the workers hear whether another coordinator comes.
                Common.Explain(broken, surroundings, supervision.Stop);
            }

            return await pod.EndAsync(code, outcome, supervision.Stop.IsCancellationRequested);

            // A launcher has taken the folder already, and files this process's own words there.
            async Task<(int Code, RunOutcome? Outcome)> OwnAsync() => folders.Take(parsed, configuration, app, surroundings.IsSupervised) is { } folder
                ? await RunAsync(folder, parsed.GetValue(listen)!, parsed.GetValue(json), vitals, app, supervision.Stop)
                : (pod is not null && folders.IsPassing ? ExitCode.Failure : ExitCode.Usage, null);
        });
        return command;
    }

    private static async Task<(int Code, RunOutcome? Outcome)> RunAsync(
        TakenFolder taken, string listen, bool json, CoordinatorVitals vitals, Application app, CancellationToken stop)
    {
        var (folder, surroundings) = (taken.Path, app.Surroundings);
        using var data = new OwnCopy(app.Tasks, taken.Options, surroundings);
        RunOutcome? outcome = null;
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var following = Task.FromResult<V1.RunFinished?>(null);
        var listened = false;
        await using var viewer = surroundings.IsSupervised ? null : RunViewers.For(surroundings, json);
        var settings = new CoordinatorSettings
        {
            Options = taken.Options,
            Folder = folder,
            Resume = taken.Resume,
            Checkpoint = taken.Checkpoint,
            Listen = listen,
            Vitals = vitals,
            MinimumLog = surroundings.IsSupervised ? LogLevel.Information : LogLevel.Warning,
            Faults = FaultInjector.OfVariable(surroundings.Environment.GetValueOrDefault(FaultInjector.Variable), surroundings.Time),
            Data = DataLocation.Read(taken.Options.Data).Location.Stream ? data.FindAsync : null,
            OnListening = address =>
            {
                listened = true;
                surroundings.Out.WriteLine(json ? ListeningLine.Write(address) : $"Listening on {address}; the run's folder is {folder}.");
                surroundings.Out.Flush();
                if (viewer is not null)
                {
                    following = Task.Run(() => FollowAsync(new Uri(address), viewer, over.Token), CancellationToken.None);
                }
            },
        };
        var code = await Common.EndAsync(async () => outcome = await CoordinatorHost.RunAsync(settings, surroundings.Time, stop), surroundings, stop);
        try
        {
            if (!listened && !surroundings.IsSupervised && !Restore(taken))
            {
                return (code, outcome);
            }

            await Task.WhenAny(following, Task.Delay(new Timeouts(taken.Options.FailureDetection).LastWords, surroundings.Time, CancellationToken.None));
            await over.CancelAsync();
            var finished = await following;
            if (viewer is not null)
            {
                await viewer.DisposeAsync();
                var summary = Path.Combine(folder, "summary.json");
                var text = finished?.SummaryJson ?? (File.Exists(summary) ? await File.ReadAllTextAsync(summary, CancellationToken.None) : null);
                RunSummary.Write(surroundings.Out, new LocalRunResult(code == ExitCode.Success, finished?.Sentence ?? "", text), folder, json);
            }
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            // Standard output may be a full disk: how the run ended stays true, and a Job is told that.
            surroundings.Fail(refused.Message);
            code = ExitCode.Failure;
        }

        return (code, outcome);
    }

    /// <summary>The run did not begin, or not go on: its folder is again as it was.</summary>
    /// <returns>Whether it holds a run.</returns>
    private static bool Restore(TakenFolder taken)
    {
        taken.GiveBack();
        if (!taken.Resume)
        {
            RunFolder.Abandon(taken.Path);
        }

        return taken.Resume;
    }

    /// <summary>A coordinator shows its run as anybody else would: by watching it. That this fails is no reason to end the run.</summary>
    private static async Task<V1.RunFinished?> FollowAsync(Uri address, IRunViewer viewer, CancellationToken over)
    {
        try
        {
            await foreach (var happened in RunWatch.FollowAsync(address, over))
            {
                viewer.Show(happened);
                if (happened.BodyCase == V1.RunEvent.BodyOneofCase.Finished)
                {
                    return happened.Finished;
                }
            }
        }
        catch (Exception broken) when (broken is RpcException or HttpRequestException or IOException or OperationCanceledException)
        {
            // The run's folder has it all.
        }

        return null;
    }
}
