using DistTrain.PlayedCluster.Nodes;
using k8s.Models;

namespace DistTrain.PlayedCluster.Controllers;

/// <summary>What a finished pod means for its job.</summary>
internal enum PodVerdict
{
    /// <summary>It completed.</summary>
    Success,

    /// <summary>A failure that counts against the limit.</summary>
    Count,

    /// <summary>A failure that does not count.</summary>
    Ignore,

    /// <summary>A failure after which no other pod is tried.</summary>
    FailJob,
}

/// <summary>What becomes of a job next.</summary>
internal abstract record JobStep
{
    /// <summary>Nothing.</summary>
    public sealed record Wait : JobStep;

    /// <summary>Another pod.</summary>
    public sealed record Start : JobStep;

    /// <summary>It is complete.</summary>
    public sealed record Complete : JobStep;

    /// <summary>It has failed for good.</summary>
    public sealed record Fail(string Reason, string Message) : JobStep;
}

/// <summary>What a job has seen of its pods.</summary>
/// <param name="Succeeded">How many completed.</param>
/// <param name="Failed">How many failures counted.</param>
/// <param name="LastFailure">When the last of them was.</param>
/// <param name="Fatal">Why no other pod is tried; null where one is.</param>
internal sealed record JobCounts(int Succeeded, int Failed, DateTime? LastFailure, string? Fatal)
{
    /// <summary>Before the first pod.</summary>
    public static JobCounts None { get; } = new(0, 0, null, null);
}

/// <summary>The decisions of the job controller: one pod at a time, until one has completed or the limit is used up.</summary>
internal static class JobDecision
{
    private const int StandardLimit = 6;

    /// <summary>The next step of a job.</summary>
    /// <param name="spec">What is wanted.</param>
    /// <param name="counts">What its finished pods were.</param>
    /// <param name="isPodThere">Whether a pod of it runs, or has not yet ended: with a podFailurePolicy another one comes only after the last has ended.</param>
    /// <param name="now">The time.</param>
    /// <param name="hurry">By how much back-off times are divided.</param>
    public static JobStep Next(V1JobSpec spec, JobCounts counts, bool isPodThere, DateTime now, double hurry)
    {
        if (counts.Fatal is { } reason)
        {
            return new JobStep.Fail("PodFailurePolicy", reason);
        }

        if (counts.Succeeded >= (spec.Completions ?? 1))
        {
            return new JobStep.Complete();
        }

        if (counts.Failed > (spec.BackoffLimit ?? StandardLimit))
        {
            return new JobStep.Fail("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }

        var isEarly = counts.LastFailure is { } last && now < last + (BackOff.OfJob(counts.Failed) / hurry);
        return isPodThere || isEarly ? new JobStep.Wait() : new JobStep.Start();
    }

    /// <summary>After a pod has ended.</summary>
    public static JobCounts After(V1JobSpec spec, JobCounts counts, V1Pod pod, DateTime now)
    {
        var (verdict, message) = Judge(spec.PodFailurePolicy, pod);
        return verdict switch
        {
            PodVerdict.Success => counts with { Succeeded = counts.Succeeded + 1 },
            PodVerdict.Count => counts with { Failed = counts.Failed + 1, LastFailure = now },
            PodVerdict.FailJob => counts with { Failed = counts.Failed + 1, LastFailure = now, Fatal = message },
            _ => counts,
        };
    }

    /// <summary>What a finished pod means: the first rule that matches decides, and without one a failure counts.</summary>
    public static (PodVerdict Verdict, string Message) Judge(V1PodFailurePolicy? policy, V1Pod pod)
    {
        if (pod.Status.Phase == PodFacts.Succeeded)
        {
            return (PodVerdict.Success, "");
        }

        foreach (var (rule, index) in (policy?.Rules ?? []).Select((rule, index) => (rule, index)))
        {
            if (Matches(rule, pod) is not { } why)
            {
                continue;
            }

            var message = $"{why} for pod {pod.Metadata.NamespaceProperty}/{pod.Metadata.Name} matching {rule.Action} rule at index {index}";
            return rule.Action switch
            {
                "FailJob" => (PodVerdict.FailJob, message),
                "Ignore" => (PodVerdict.Ignore, message),
                "Count" => (PodVerdict.Count, message),
                _ => throw new NotPlayedException($"the podFailurePolicy's action {rule.Action}"),
            };
        }

        return (PodVerdict.Count, "");
    }

    private static string? Matches(V1PodFailurePolicyRule rule, V1Pod pod)
    {
        if (rule.OnExitCodes is { } codes)
        {
            foreach (var container in pod.Status.ContainerStatuses ?? [])
            {
                // A code of 0 never matches, also not NotIn.
                if (container.State?.Terminated is { ExitCode: not 0 } end && (codes.ContainerName is null || codes.ContainerName == container.Name)
                    && codes.Values.Contains(end.ExitCode) == (codes.OperatorProperty == "In"))
                {
                    return $"Container {container.Name} with exit code {end.ExitCode}";
                }
            }
        }

        return (rule.OnPodConditions ?? [])
            .FirstOrDefault(wanted => pod.Status.Conditions?.Any(c => c.Type == wanted.Type && c.Status == (wanted.Status ?? "True")) == true) is { } condition
            ? $"Pod condition {condition.Type}"
            : null;
    }
}
