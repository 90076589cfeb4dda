using k8s.Models;

namespace DistTrain.Kubernetes.Launching;

/// <summary>Everything that keeps a run from going on, read from its objects. Pure.</summary>
internal static class RunDiagnosis
{
    /// <summary>The problems of a run, the one that says most first; the same problem of several pods once.</summary>
    public static IReadOnlyList<RunProblem> Of(RunSnapshot run)
    {
        if (run.Phase is RunPhase.Missing or RunPhase.Completed)
        {
            return [];
        }

        var problems = new List<RunProblem>();
        problems.AddRange(OfJob(run));
        if (run.Phase != RunPhase.Failed)
        {
            problems.AddRange(OfVolume(run));
            problems.AddRange(OfPods(run.CoordinatorPods.TakeLast(1), run.Names.Coordinator));
            problems.AddRange(OfPods(run.WorkerPods, run.Names.Worker));
            problems.AddRange(OfDeployment(run));
            problems.AddRange(OfEvents(run));
        }

        return [.. problems.DistinctBy(p => p.Sentence)];
    }

    private static IEnumerable<RunProblem> OfJob(RunSnapshot run)
    {
        var subject = $"job.batch/{run.Names.Coordinator}";
        var pod = run.CoordinatorPods.LastOrDefault(p => Ended(p) is not null);
        var ended = pod is null ? null : Ended(pod);
        var words = PodWords.LastWords(ended) is { } said ? $" Its last words: {said}" : "";
        if (run.Job?.Status?.Conditions?.FirstOrDefault(c => c.Type == "Failed" && c.Status == "True") is { } failed)
        {
            yield return new RunProblem(subject, failed.Reason switch
            {
                "PodFailurePolicy" when ended?.ExitCode is 2 or null =>
                    $"The coordinator ended with exit code 2, and is not started again: another start would not mend it.{words} Correct that, then delete the run and launch it anew.",
                "PodFailurePolicy" => $"The coordinator {PodWords.Ending(ended)}, which another start does not mend.{words}",
                "BackoffLimitExceeded" => $"The coordinator failed {run.Job.Status.Failed ?? 0} times and is not started again"
                    + $"{(ended is null ? "" : $"; the last time it {PodWords.Ending(ended)}")}.{words}{Memory(ended)} Its volume is kept: delete the run, then launch it anew, and it goes on.",
                "DeadlineExceeded" => "The run took longer than the Job's activeDeadlineSeconds allow. Its volume is kept: delete the run, then launch it anew, and it goes on.",
                _ => $"The Job failed: {ClusterErrors.Trim(failed.Message ?? failed.Reason ?? "the cluster does not say why")}.{words}",
            }, IsFinal: true);
        }
        else if (run.Phase == RunPhase.Suspended)
        {
            yield return new RunProblem(subject, "The Job is suspended: a queue has not admitted it yet, or somebody suspended it (spec.suspend).");
        }
        else if (pod is not null && ended is { ExitCode: not 0 and not 143 })
        {
            yield return new RunProblem($"pod/{pod.Metadata.Name}", $"The coordinator {PodWords.Ending(ended)}; the Job starts it again.{words}{Memory(ended)}");
        }
    }

    private static IEnumerable<RunProblem> OfVolume(RunSnapshot run)
    {
        if (run.Volume?.Status?.Phase == "Lost")
        {
            yield return new RunProblem($"persistentvolumeclaim/{run.Names.Volume}", "The volume of the run's folder is gone, and the checkpoints with it. Delete the run and its data, then launch it anew.", IsFinal: true);
        }

        if (run.Volume is not { Status.Phase: "Pending" })
        {
            yield break;
        }

        foreach (var told in run.Events.Where(e => e.InvolvedObject.Kind == "PersistentVolumeClaim" && e.Reason is "FailedBinding" or "ProvisioningFailed").TakeLast(1))
        {
            var message = told.Message ?? "";
            yield return new RunProblem($"persistentvolumeclaim/{run.Names.Volume}", message switch
            {
                _ when message.Contains("no storage class is set", StringComparison.Ordinal) =>
                    "No volume fits the claim and the cluster has no default storage class: make one the default (kubectl get storageclass), or set storageClassName in the manifests.",
                _ when message.Contains("storageclass.storage.k8s.io", StringComparison.Ordinal) && message.Contains("not found", StringComparison.Ordinal) =>
                    $"The storage class of the claim does not exist ({ClusterErrors.Trim(message)}): choose one of 'kubectl get storageclass'.",
                _ => $"No volume is made for the claim: {ClusterErrors.Trim(message)}.",
            });
        }
    }

    private static IEnumerable<RunProblem> OfPods(IEnumerable<V1Pod> pods, string owner)
    {
        var found = pods.SelectMany(pod => PodWords.Of(pod).Select(problem => (pod.Metadata.Name, problem.Sentence, problem.IsFinal))).ToList();
        return found.GroupBy(f => f.Sentence).Select(same => new RunProblem(
            same.Count() == 1 ? $"pod/{same.First().Name}" : $"{same.Count()} pods of {owner}", same.Key, same.First().IsFinal));
    }

    private static IEnumerable<RunProblem> OfDeployment(RunSnapshot run)
    {
        if (run.Workers?.Status?.Conditions?.FirstOrDefault(c => c.Type == "ReplicaFailure" && c.Status == "True") is { Message: { } message })
        {
            yield return new RunProblem(
                $"deployment.apps/{run.Names.Worker}", ClusterErrors.OfAdmission(message, run.Namespace) ?? $"No more pods are made: {ClusterErrors.Trim(message)}.");
        }
    }

    /// <summary>What only events tell: a Job has no condition for pods that are not admitted, and a pod none for volumes that are not mounted.</summary>
    private static IEnumerable<RunProblem> OfEvents(RunSnapshot run)
    {
        foreach (var told in run.Events.Where(e => e.Type == "Warning").GroupBy(e => (e.InvolvedObject.Name, e.Reason)).Select(g => g.Last()))
        {
            var message = told.Message ?? "";
            var subject = $"{(told.InvolvedObject.Kind ?? "object").ToLowerInvariant()}/{told.InvolvedObject.Name}";
            switch (told.Reason)
            {
                case "FailedCreate" when told.InvolvedObject.Kind == "Job" && run.Coordinator is null && ClusterErrors.OfAdmission(message, run.Namespace) is { } kept:
                    yield return new RunProblem(subject, kept);
                    break;
                case "FailedCreate" when told.InvolvedObject.Kind == "Job" && run.Coordinator is null:
                    yield return new RunProblem(subject, $"No pod is made for the coordinator: {ClusterErrors.Trim(message)}.");
                    break;
                case "FailedAttachVolume" or "FailedMount" when run.Pods.Any(p => p.Metadata.Name == told.InvolvedObject.Name && p.Status?.Phase == "Pending"):
                    yield return new RunProblem(subject, message.Contains("Multi-Attach", StringComparison.Ordinal)
                        ? "Its volume is still attached to the node of the pod before it, and follows when that node lets go of it: some minutes, or until that node is back."
                        : $"A volume cannot be mounted: {ClusterErrors.Trim(message)}.");
                    break;
            }
        }
    }

    private static string Memory(V1ContainerStateTerminated? ended) => ended?.Reason == "OOMKilled" ? " Raise its memory limit." : "";

    private static V1ContainerStateTerminated? Ended(V1Pod pod) => pod.Status?.ContainerStatuses?.Select(c => c.State?.Terminated).FirstOrDefault(t => t is not null);
}
