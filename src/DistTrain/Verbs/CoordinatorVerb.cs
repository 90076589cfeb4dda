using System.CommandLine;
using DistTrain.Configuration;
using DistTrain.Coordinator;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
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
            + "  coordinator my-run.yaml --out runs/mine --resume           begin, or go on where another coordinator was stopped or killed");
        var configuration = new ConfigurationArguments(command, "How many workers the run waits for before its first step.", admits: true);
        var listen = Common.Listen("127.0.0.1:5400", "Where workers reach it. Only this machine does, unless you say otherwise.");
        var folders = new FolderArguments(command);
        var json = Common.Json("One JSON object per line on standard output: where it listens, every event, the summary.");
        command.Add(listen);
        command.Add(json);
        command.SetAction(async (parsed, cancellation) =>
        {
            // A launcher has taken the folder already, and files this process's own words there.
            return folders.Take(parsed, configuration, app, app.Surroundings.IsSupervised) is { } folder
                ? await RunAsync(folder, parsed.GetValue(listen)!, parsed.GetValue(json), app, cancellation)
                : ExitCode.Usage;
        });
        return command;
    }

    private static async Task<int> RunAsync(
        TakenFolder taken, string listen, bool json, Application app, CancellationToken cancellation)
    {
        var (folder, surroundings) = (taken.Path, app.Surroundings);
        using var data = new OwnCopy(app.Tasks, taken.Options, surroundings);
        using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(supervision.Stop);
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
        var code = await Common.EndAsync(() => CoordinatorHost.RunAsync(settings, surroundings.Time, supervision.Stop), surroundings, supervision.Stop);
        if (!listened && !surroundings.IsSupervised)
        {
            taken.GiveBack();
        }

        if (!listened && !surroundings.IsSupervised && !taken.Resume)
        {
            RunFolder.Abandon(folder);
            return code;
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

        return code;
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
