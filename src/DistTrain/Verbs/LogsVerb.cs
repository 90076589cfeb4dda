using System.CommandLine;
using System.Text.Json.Nodes;
using DistTrain.Kubernetes.Launching;
using DistTrain.Launching;
using DistTrain.Views;
using k8s.Models;

namespace DistTrain.Verbs;

/// <summary><c>logs</c>: what a process of a run in a cluster has written.</summary>
internal static class LogsVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "logs",
            "Print what the coordinator, or a worker, of a run in a cluster has written.",
            "Examples:\n"
            + "  logs digits-2 --follow                         the coordinator: progress, and who came and went\n"
            + "  logs digits-2 --worker 0 --tail 50             numbers as 'status' shows them\n"
            + "  logs digits-2 --worker 0 --previous            of the container before, which failed");
        var run = ClusterArguments.Run(isOptional: false);
        var worker = new Option<int?>("--worker") { Description = "The worker of that number, as 'status' shows them.", HelpName = "N" };
        worker.Validators.Add(result =>
        {
            if (!int.TryParse(Common.Given(result), out var given) || given < 0)
            {
                result.AddError($"--worker is '{Common.Given(result)}': must be a worker's number, 0 for the first.");
            }
        });
        worker.CustomParser = result => result.Tokens is [var token, ..] && int.TryParse(token.Value, out var given) ? given : null;
        var coordinator = new Option<bool>("--coordinator") { Description = "The coordinator, which is meant where nobody is named." };
        coordinator.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<bool>() && result.GetResult(worker) is not null)
            {
                result.AddError("--coordinator and --worker: name one of them.");
            }
        });
        var follow = new Option<bool>("--follow", "-f") { Description = "Go on while it is written. Ctrl-C ends this, not the run." };
        var previous = new Option<bool>("--previous", "-p") { Description = "That of the container before, where one failed." };
        var tail = Common.WholeNumber("--tail", "The last lines only; 0 for all.", "N", 0, 1_000_000, standard: 0);
        var json = Common.Json("One JSON object per line.");
        command.Add(run);
        new Option[] { worker, coordinator, follow, previous, tail, json }.ToList().ForEach(command.Add);
        var cluster = new ClusterArguments(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            var choice = new LogChoice(parsed.GetValue(tail) is > 0 and var last ? last : null, parsed.GetValue(follow), parsed.GetValue(previous));
            using var supervision = new Supervision(supervised: false, cancellation);
            return await cluster.WithClusterAsync(
                parsed, app, session => RunAsync(session, new RunNames(parsed.GetValue(run)!), parsed.GetValue(worker), choice, parsed.GetValue(json), app, supervision.Stop));
        });
        return command;
    }

    private static async Task<int> RunAsync(
        ClusterSession cluster, RunNames names, int? worker, LogChoice choice, bool json, Application app, CancellationToken stop)
    {
        try
        {
            var run = await RunSnapshot.TakeAsync(cluster, names, stop);
            if (run.Phase == RunPhase.Missing && run.Pods.Count == 0)
            {
                return await ClusterArguments.UnknownAsync(cluster, names.Run, app, stop);
            }

            if (Pod(run, worker) is not { } pod)
            {
                app.Surroundings.Fail(worker is null
                    ? $"The coordinator of {names.Run} has no pod yet: see 'status {names.Run}'."
                    : $"The run {names.Run} has no worker {worker}: {Words.Count(run.WorkerPods.Count(), "worker")} {(run.WorkerPods.Count() == 1 ? "has" : "have")} a pod, numbered from 0.");
                return ExitCode.Failure;
            }

            await foreach (var line in PodLog.ReadAsync(cluster, pod.Metadata.Name, choice, stop))
            {
                app.Surroundings.Out.WriteLine(json ? new JsonObject { ["pod"] = pod.Metadata.Name, ["line"] = line }.ToJsonString() : line);
                app.Surroundings.Out.Flush();
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Whoever reads has read enough.
        }

        return ExitCode.Success;
    }

    private static V1Pod? Pod(RunSnapshot run, int? worker) => worker is { } number ? run.WorkerPods.ElementAtOrDefault(number) : run.Coordinator;
}
