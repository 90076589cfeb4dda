using System.CommandLine;
using System.Text.Json.Nodes;
using DistTrain.Kubernetes.Launching;
using DistTrain.Views;

namespace DistTrain.Verbs;

/// <summary><c>status</c>: how the runs of a cluster stand.</summary>
internal static class StatusVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "status",
            "Show how a run that was launched in a cluster stands: its progress, its pods, and what keeps it from going on.",
            "Examples:\n"
            + "  status                                         the run of the namespace, or a list where there are several\n"
            + "  status digits-2 --namespace team\n"
            + "  status digits-2 --json                         one object, for programs");
        var run = ClusterArguments.Run(isOptional: true);
        var json = Common.Json("One JSON object; without NAME one with a list of runs.");
        command.Add(run);
        command.Add(json);
        var cluster = new ClusterArguments(command);
        command.SetAction((parsed, cancellation) => cluster.WithClusterAsync(
            parsed, app, session => RunAsync(session, parsed.GetValue(run), parsed.GetValue(json), app, cancellation)));
        return command;
    }

    private static async Task<int> RunAsync(ClusterSession cluster, string? name, bool json, Application app, CancellationToken cancellation)
    {
        if (name is null)
        {
            var names = await RunList.NamesAsync(cluster, cancellation);
            if (json || names.Count != 1)
            {
                return await ListAsync(cluster, names, json, app.Surroundings, cancellation);
            }

            name = names[0];
        }

        var run = await RunSnapshot.TakeAsync(cluster, new RunNames(name), cancellation);
        if (run.Phase == RunPhase.Missing)
        {
            return await ClusterArguments.UnknownAsync(cluster, name, app, cancellation);
        }

        var (sentence, progress) = await RunProgressProbe.AskAsync(cluster, run, cancellation);
        if (json)
        {
            app.Surroundings.Out.WriteLine(StatusText.Json(run, progress).ToJsonString());
        }
        else
        {
            StatusText.Write(app.Surroundings.Out, run, sentence, app.Surroundings.Time.GetUtcNow());
        }

        return ExitCode.Success;
    }

    private static async Task<int> ListAsync(ClusterSession cluster, IReadOnlyList<string> names, bool json, Surroundings surroundings, CancellationToken cancellation)
    {
        var runs = new List<RunSnapshot>();
        foreach (var name in names)
        {
            runs.Add(await RunSnapshot.TakeAsync(cluster, new RunNames(name), cancellation));
        }

        if (json)
        {
            surroundings.Out.WriteLine(new JsonObject
            {
                ["namespace"] = cluster.Namespace,
                ["runs"] = new JsonArray([.. runs.Select(run => StatusText.Json(run, null))]),
            }.ToJsonString());
        }
        else if (runs.Count == 0)
        {
            surroundings.Out.WriteLine($"There are no runs in the namespace {cluster.Namespace}.");
        }
        else
        {
            var table = new TextTable("run", "status", "wanted", "ready", "problems");
            runs.ForEach(run => table.Add(
                run.Names.Run, StatusText.Word(run.Phase), $"{run.Wanted}", $"{run.Ready}", $"{RunDiagnosis.Of(run).Count}"));
            table.Write(surroundings.Out);
        }

        return ExitCode.Success;
    }
}
