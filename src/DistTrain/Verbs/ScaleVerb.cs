using System.CommandLine;
using System.Text.Json.Nodes;
using DistTrain.Kubernetes.Launching;
using DistTrain.Views;
using k8s;
using k8s.Models;

namespace DistTrain.Verbs;

/// <summary><c>scale</c>: another number of workers for a run in a cluster.</summary>
internal static class ScaleVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "scale",
            "Give a run in a cluster another number of workers, while it trains: no pod is restarted, and the bits stay the same.",
            "Examples:\n"
            + "  scale digits-2 --workers 8\n"
            + "  scale digits-2 --workers 0                     a pause: the coordinator waits\n\n"
            + "'kubectl scale deployment/NAME-worker --replicas=8' does the same.");
        var run = ClusterArguments.Run(isOptional: false);
        var workers = Common.WholeNumber("--workers", "How many workers there are to be.", "N", 0, 4096, standard: 0);
        workers.Required = true;
        workers.DefaultValueFactory = null;
        workers.Aliases.Add("-w");
        var json = Common.Json("One JSON object instead of a sentence.");
        command.Add(run);
        command.Add(workers);
        command.Add(json);
        var cluster = new ClusterArguments(command);
        command.SetAction((parsed, cancellation) => cluster.WithClusterAsync(
            parsed, app, session => RunAsync(session, new RunNames(parsed.GetValue(run)!), parsed.GetValue(workers), parsed.GetValue(json), app, cancellation)));
        return command;
    }

    private static async Task<int> RunAsync(ClusterSession cluster, RunNames names, int workers, bool json, Application app, CancellationToken cancellation)
    {
        var run = await RunSnapshot.TakeAsync(cluster, names, cancellation);
        if (run.Workers is null)
        {
            return await ClusterArguments.UnknownAsync(cluster, names.Run, app, cancellation);
        }

        if (workers > 0 && run.Phase is RunPhase.Completed or RunPhase.Failed)
        {
            app.Surroundings.Fail($"The run {names.Run} is {StatusText.Word(run.Phase)}: workers would find nothing to do. "
                + (run.Phase == RunPhase.Failed ? $"See 'status {names.Run}'." : "Its folder is on its volume."));
            return ExitCode.Failure;
        }

        // The subresource, and nothing else: whoever may scale need not be allowed to change what pods are made of.
        var patch = new V1Patch(new JsonObject { ["spec"] = new JsonObject { ["replicas"] = workers } }.ToJsonString(), V1Patch.PatchType.MergePatch);
        await cluster.AskAsync("scale", $"deployment.apps/{names.Worker}", (client, token) => client.AppsV1.PatchNamespacedDeploymentScaleAsync(
            patch, names.Worker, cluster.Namespace, fieldManager: ClusterSession.Manager, cancellationToken: token), cancellation);
        app.Surroundings.Out.WriteLine(json
            ? new JsonObject { ["name"] = names.Run, ["namespace"] = cluster.Namespace, ["before"] = run.Wanted, ["workers"] = workers }.ToJsonString()
            : $"{names.Run}: {Words.Count(workers, "worker")} wanted, {run.Wanted} before."
                + (workers == 0 ? " The run pauses until there are some again." : " Whoever joins or leaves does so between two steps."));
        return ExitCode.Success;
    }
}
