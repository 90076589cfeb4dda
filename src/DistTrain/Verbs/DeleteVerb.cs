using System.CommandLine;
using System.Text.Json.Nodes;
using DistTrain.Core.Options;
using DistTrain.Kubernetes.Launching;
using DistTrain.Launching;

namespace DistTrain.Verbs;

/// <summary><c>delete</c>: takes a run out of a cluster.</summary>
internal static class DeleteVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "delete",
            "Take a run out of a cluster: its pods and all else, but not its checkpoints, unless that is asked for.",
            "Examples:\n"
            + "  delete digits-2                                the volume claim digits-2-run stays: launched again, the run goes on\n"
            + "  delete digits-2 --delete-data                  the run's folder and its checkpoints, too, for good");
        var run = ClusterArguments.Run(isOptional: false);
        var keep = new Option<bool>("--keep-data") { Description = "Keep the volume claim, and with it the checkpoints. It is kept anyway where nothing is said." };
        var drop = new Option<bool>("--delete-data") { Description = "Delete the volume claim, and with it the run's folder and its checkpoints." };
        drop.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<bool>() && result.GetValue(keep))
            {
                result.AddError("--keep-data and --delete-data: say one of them.");
            }
        });
        var patience = LaunchKubernetesVerb.Durations("--timeout", "How long to wait until the pods are gone.", "3m");
        var json = Common.Json("One JSON object instead of lines.");
        command.Add(run);
        new Option[] { keep, drop, patience, json }.ToList().ForEach(command.Add);
        var cluster = new ClusterArguments(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            var wait = Duration.TryParse(parsed.GetValue(patience)!, out var given) ? given : TimeSpan.Zero;
            using var supervision = new Supervision(supervised: false, cancellation);
            return await cluster.WithClusterAsync(parsed, app, session => RunAsync(
                session, new RunNames(parsed.GetValue(run)!), parsed.GetValue(drop), wait, parsed.GetValue(json), cluster.Repeat(parsed), app, supervision.Stop));
        });
        return command;
    }

    private static async Task<int> RunAsync(
        ClusterSession cluster, RunNames names, bool withData, TimeSpan patience, bool json, string choice, Application app, CancellationToken stop)
    {
        var surroundings = app.Surroundings;
        var run = await RunSnapshot.TakeAsync(cluster, names, stop);
        IReadOnlyList<string> deleted;
        IReadOnlyList<string> left;
        try
        {
            (deleted, left) = await new RunRemover(cluster, names, line => Say(json ? null : line)).RemoveAsync(withData, patience, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            surroundings.Fail($"Stopped before the run {names.Run} was deleted whole: 'delete {names.Run}{choice}' goes on.");
            return ExitCode.Failure;
        }

        if (run is { Job: null, Workers: null, Volume: null } && deleted.Count == 0)
        {
            // A launch that broke off may have left nothing but a role: so it is asked for every object first.
            return await ClusterArguments.UnknownAsync(cluster, names.Run, app, stop);
        }

        var kept = run.Volume is not null && !withData;
        Say(json
            ? new JsonObject
            {
                ["name"] = names.Run,
                ["namespace"] = cluster.Namespace,
                ["deleted"] = new JsonArray([.. deleted.Select(d => JsonValue.Create(d))]),
                ["left"] = new JsonArray([.. left.Select(l => JsonValue.Create(l))]),
                ["keptVolume"] = kept ? names.Volume : null,
            }.ToJsonString()
            : kept ? $"The volume claim {names.Volume} is kept, with the run's folder and its checkpoints: launched again, the run goes on. "
                + $"'delete {names.Run}{choice} --delete-data' deletes them for good."
            : withData && run.Volume is not null ? "The run's folder and its checkpoints are deleted." : null);
        if (left.Count > 0)
        {
            surroundings.Fail($"Still there after {Duration.Format(patience)}: {string.Join(", ", left)}. They are asked to end; "
                + "a pod whose node is gone stays until the node is removed ('kubectl delete pod --force' does not wait for it).");
            return ExitCode.Failure;
        }

        return ExitCode.Success;

        void Say(string? line)
        {
            if (line is not null)
            {
                surroundings.Out.WriteLine(line);
                surroundings.Out.Flush();
            }
        }
    }
}
