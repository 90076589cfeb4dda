using System.Text.Json.Nodes;
using DistTrain.Views;
using k8s.Models;

namespace DistTrain.Kubernetes.Launching;

/// <summary>How a launched run stands, for people and for programs. Pure.</summary>
internal static class StatusText
{
    private const int MostEvents = 10;

    /// <summary>A phase in one word.</summary>
    public static string Word(RunPhase phase) => phase.ToString().ToLowerInvariant();

    /// <summary>Writes it for people.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="run">The run's objects.</param>
    /// <param name="progress">How far the training is, in a sentence; null where that is not known.</param>
    /// <param name="now">The time.</param>
    public static void Write(TextWriter output, RunSnapshot run, string? progress, DateTimeOffset now)
    {
        var table = new TextTable();
        table.Add("run", $"{run.Names.Run} in the namespace {run.Namespace}");
        table.Add("status", Word(run.Phase) + (run.Job?.Status?.StartTime is { } start ? $", {Words.Span((run.Job.Status.CompletionTime ?? now.UtcDateTime) - start)}" : ""));
        table.Add("progress", progress ?? "not known");
        table.Add("coordinator", run.Coordinator is { } pod ? Pod(pod) : "no pod");
        table.Add("workers", $"{run.Wanted} wanted, {run.Ready} take part");
        foreach (var (number, worker) in run.WorkerPods.Index())
        {
            table.Add($"  {number}", Pod(worker));
        }

        table.Add("volume", run.Volume is { } claim ? $"{claim.Metadata.Name}, {claim.Status?.Phase ?? "Pending"}{Size(claim)}" : "none");
        table.Write(output);
        Problems(output, RunDiagnosis.Of(run));
        Events(output, run, now);
        output.Flush();
    }

    /// <summary>The same as one object.</summary>
    public static JsonObject Json(RunSnapshot run, JsonNode? progress) => new()
    {
        ["name"] = run.Names.Run,
        ["namespace"] = run.Namespace,
        ["status"] = Word(run.Phase),
        ["started"] = run.Job?.Status?.StartTime?.ToString("O"),
        ["ended"] = run.Job?.Status?.CompletionTime?.ToString("O"),
        ["progress"] = progress,
        ["coordinator"] = run.Coordinator is { } pod ? Json(pod) : null,
        ["workers"] = new JsonObject
        {
            ["wanted"] = run.Wanted,
            ["ready"] = run.Ready,
            ["pods"] = new JsonArray([.. run.WorkerPods.Select(Json)]),
        },
        ["volume"] = run.Volume is { } claim ? new JsonObject { ["name"] = claim.Metadata.Name, ["phase"] = claim.Status?.Phase } : null,
        ["problems"] = new JsonArray([.. RunDiagnosis.Of(run).Select(p => new JsonObject { ["subject"] = p.Subject, ["sentence"] = p.Sentence, ["final"] = p.IsFinal })]),
        ["events"] = new JsonArray([.. run.Events.TakeLast(MostEvents).Select(e => new JsonObject
        {
            ["time"] = RunSnapshot.TimeOf(e).ToString("O"),
            ["type"] = e.Type,
            ["reason"] = e.Reason,
            ["object"] = Subject(e),
            ["message"] = e.Message,
        })]),
    };

    private static void Problems(TextWriter output, IReadOnlyList<RunProblem> problems)
    {
        if (problems.Count > 0)
        {
            output.WriteLine();
            output.WriteLine("problems");
            problems.ToList().ForEach(p => output.WriteLine($"  {p.Subject}: {p.Sentence}"));
        }
    }

    private static void Events(TextWriter output, RunSnapshot run, DateTimeOffset now)
    {
        if (run.Events.Count == 0)
        {
            return;
        }

        output.WriteLine();
        output.WriteLine("recent events");
        var table = new TextTable();
        foreach (var told in run.Events.TakeLast(MostEvents))
        {
            table.Add(Ago(now.UtcDateTime - RunSnapshot.TimeOf(told)), told.Type ?? "", told.Reason ?? "", Subject(told), ClusterErrors.Trim(told.Message ?? ""));
        }

        table.Write(output, "  ");
    }

    private static string Pod(V1Pod pod)
    {
        var node = pod.Spec?.NodeName is { Length: > 0 } name ? $" on {name}" : "";
        var restarts = Restarts(pod) is > 0 and var times ? $", {Words.Count(times, "restart")}" : "";
        return $"{pod.Metadata.Name}, {State(pod)}{node}{restarts}";
    }

    private static JsonObject Json(V1Pod pod) => new()
    {
        ["pod"] = pod.Metadata.Name,
        ["state"] = State(pod),
        ["ready"] = IsReady(pod),
        ["node"] = pod.Spec?.NodeName,
        ["restarts"] = Restarts(pod),
    };

    /// <summary>As kubectl shows it: why it waits or ended, else its phase.</summary>
    private static string State(V1Pod pod)
    {
        var container = pod.Status?.ContainerStatuses?.FirstOrDefault();
        return pod.Metadata.DeletionTimestamp is not null ? "Terminating"
            : pod.Status?.Reason is { Length: > 0 } reason ? reason
            : container?.State?.Waiting?.Reason is { Length: > 0 } waits ? waits
            : container?.State?.Terminated?.Reason is { Length: > 0 } ended ? ended
            : pod.Status?.Phase == "Running" && !IsReady(pod) ? "Running, not ready"
            : pod.Status?.Phase ?? "Pending";
    }

    private static bool IsReady(V1Pod pod) => pod.Status?.Conditions?.Any(c => c.Type == "Ready" && c.Status == "True") == true;

    private static int Restarts(V1Pod pod) => pod.Status?.ContainerStatuses?.Sum(c => c.RestartCount) ?? 0;

    private static string Size(V1PersistentVolumeClaim claim) =>
        claim.Status?.Capacity?.TryGetValue("storage", out var size) == true ? $", {size}" : "";

    private static string Subject(Corev1Event told) => $"{(told.InvolvedObject.Kind ?? "object").ToLowerInvariant()}/{told.InvolvedObject.Name}";

    private static string Ago(TimeSpan ago) => $"{Words.Span(ago < TimeSpan.Zero ? TimeSpan.Zero : ago)} ago";
}
