using System.Text.Json.Nodes;
using DistTrain.Views;
using Grpc.Core;

namespace DistTrain.Kubernetes.Launching;

/// <summary>How far a run's training is: asked of its coordinator, else read from the end of its log.</summary>
internal static class RunProgressProbe
{
    private const int Tail = 40;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <summary>Asks; nothing that fails is a reason to fail.</summary>
    /// <returns>The progress in a sentence and as an object; null where nothing is known.</returns>
    public static async Task<(string? Sentence, JsonNode? Json)> AskAsync(ClusterSession cluster, RunSnapshot run, CancellationToken cancellation)
    {
        if (run.Coordinator is not { } pod)
        {
            return (null, null);
        }

        var told = run.Phase == RunPhase.Running ? await WatchedAsync(cluster, pod.Metadata.Name, cancellation) : (null, null);
        return told.Sentence is not null ? told : await LoggedAsync(cluster, pod.Metadata.Name, cancellation);
    }

    private static async Task<(string? Sentence, JsonNode? Json)> WatchedAsync(ClusterSession cluster, string pod, CancellationToken cancellation)
    {
        using var late = new CancellationTokenSource(Patience, cluster.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellation);
        var view = new RunView();
        try
        {
            await foreach (var happened in CoordinatorWatch.FollowAsync(cluster, pod, either.Token))
            {
                view = view.With(happened);
                if (view.HasStarted && happened.BodyCase == Protocol.V1.RunEvent.BodyOneofCase.Step)
                {
                    return (Words.Step(view), JsonViewer.Translate(happened));
                }
            }
        }
        catch (Exception silent) when (silent is RpcException or IOException or HttpRequestException or ClusterException or OperationCanceledException
            && !cancellation.IsCancellationRequested)
        {
            // Its log may say it.
        }

        return view.HasStarted ? ("it waits for the next step", null) : (null, null);
    }

    private static async Task<(string? Sentence, JsonNode? Json)> LoggedAsync(ClusterSession cluster, string pod, CancellationToken cancellation)
    {
        var lines = new List<string>();
        try
        {
            await foreach (var line in PodLog.ReadAsync(cluster, pod, new LogChoice(Tail), cancellation))
            {
                lines.Add(line);
            }
        }
        catch (ClusterException)
        {
            // A container that has not begun has no log.
        }

        var last = lines.LastOrDefault(l => l.StartsWith("step ", StringComparison.Ordinal)) ?? lines.LastOrDefault(l => l.Length > 0);
        return (last, last is null ? null : new JsonObject { ["line"] = last });
    }
}
