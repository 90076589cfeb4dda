using System.Text.RegularExpressions;
using k8s.Models;

namespace DistTrain.Kubernetes.Launching;

/// <summary>What keeps a pod from working, in sentences with the remedy. Pure.</summary>
internal static partial class PodWords
{
    private const int MostWords = 400;

    /// <summary>The problems of one pod.</summary>
    public static IEnumerable<(string Sentence, bool IsFinal)> Of(V1Pod pod)
    {
        if (pod.Metadata.DeletionTimestamp is not null || pod.Status is not { } status)
        {
            yield break;
        }

        if (status.Conditions?.FirstOrDefault(c => c.Type == "PodScheduled" && c.Status == "False" && c.Reason == "Unschedulable") is { } unscheduled)
        {
            yield return (SchedulingWords.Of(unscheduled.Message ?? ""), false);
        }

        if (status.Reason == "Evicted")
        {
            yield return ($"It was evicted: {ClusterErrors.Trim(status.Message ?? "the node needed room")}. Another pod takes its place.", false);
        }

        foreach (var container in (status.InitContainerStatuses ?? []).Concat(status.ContainerStatuses ?? []))
        {
            if (Of(container) is { } problem)
            {
                yield return problem;
            }
        }
    }

    /// <summary>The last lines that a container wrote before it ended, in one line; null where they are not known.</summary>
    public static string? LastWords(V1ContainerStateTerminated? ended)
    {
        var lines = (ended?.Message ?? "").ReplaceLineEndings("\n").Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

        // A sentence of this program says it best; else the end of whatever there is.
        var said = lines.LastOrDefault(l => l.StartsWith(Surroundings.ErrorPrefix, StringComparison.Ordinal))?[Surroundings.ErrorPrefix.Length..]
            ?? string.Join(" / ", lines.TakeLast(3));
        return said.Length == 0 ? null : said.Length <= MostWords ? said : "..." + said[^MostWords..];
    }

    /// <summary>How a container ended, as the rest of a sentence.</summary>
    public static string Ending(V1ContainerStateTerminated ended) => ended switch
    {
        { Reason: "OOMKilled" } => "was killed because it took more memory than its limit (OOMKilled)",
        { ExitCode: > 128 } => $"was ended by signal {ended.ExitCode - 128}",
        _ => $"ended with exit code {ended.ExitCode}",
    };

    private static (string Sentence, bool IsFinal)? Of(V1ContainerStatus container)
    {
        var last = container.LastState?.Terminated;
        return container.State?.Waiting is { } waiting ? Of(container, waiting, last)
            : last is { Reason: "OOMKilled" } && container.State?.Running is not null ? ($"Its container {container.Name} {Ending(last)} and was started again "
                + $"({container.RestartCount} times). Raise its memory limit, or lower batch.micro.", false)
            : null;
    }

    private static (string Sentence, bool IsFinal)? Of(V1ContainerStatus container, V1ContainerStateWaiting waiting, V1ContainerStateTerminated? last)
    {
        var message = ClusterErrors.Trim(waiting.Message ?? "");
        switch (waiting.Reason)
        {
            case "InvalidImageName":
                return ($"The image '{container.Image}' is no name of an image: delete the run and launch it with another --image.", true);
            case "ErrImageNeverPull":
                return ($"The image {container.Image} is not on the node, and the pod says never to pull it: load it into the cluster's nodes, or set imagePullPolicy.", true);
            case "ErrImagePull" or "ImagePullBackOff" or "RegistryUnavailable" or "ImageInspectError":
                return (ImageMissing(container.Image ?? "", message), false);
            case "CreateContainerConfigError" when Absent().Match(message) is { Success: true } absent:
                return ($"It waits for the {absent.Groups[1].Value} {absent.Groups[2].Value}, which does not exist: launch the run anew (delete it, then launch).", false);
            case "CreateContainerConfigError" or "CreateContainerError" or "RunContainerError" or "StartError" or "ContainerCannotRun":
                return ($"Its container {container.Name} cannot be started: {message}.", false);
            case "CrashLoopBackOff":
                var remedy = last?.Reason == "OOMKilled" ? " Raise its memory limit, or lower batch.micro."
                    : LastWords(last) is { } words ? $" Its last words: {words}" : "";
                return ($"Its container {container.Name} fails again and again ({container.RestartCount} times)"
                    + $"{(last is null ? "" : $"; the last time it {Ending(last)}")}.{remedy}", false);
            default:
                return null;
        }
    }

    private static string ImageMissing(string image, string message)
    {
        var why = message switch
        {
            _ when Has("unauthorized") || Has("authentication required") || Has("pull access denied") || Has("403 Forbidden") || Has("denied:") =>
                "the registry does not let the node have it, or does not know it: check its name, and give the namespace's service accounts an imagePullSecret",
            _ when Has("not found") || Has("manifest unknown") || Has("NotFound") || Has("does not exist") =>
                "the registry has no such image: push it, or launch with another --image",
            _ when Has("no such host") || Has("i/o timeout") || Has("connection refused") || Has("deadline exceeded") || Has("TLS") || Has("x509") =>
                $"the node does not reach the registry ({message}): check the name of the registry and the node's network",
            _ when Has("Back-off pulling") || message.Length == 0 => "push it, load it into the cluster's nodes (kind load docker-image, minikube image load), or launch with another --image",
            _ => message,
        };
        return $"The image {image} cannot be pulled: {why}.";

        bool Has(string part) => message.Contains(part, StringComparison.OrdinalIgnoreCase);
    }

    [GeneratedRegex("(configmap|secret) \"([^\"]+)\" not found")]
    private static partial Regex Absent();
}
