using k8s.Models;

namespace DistTrain.Kubernetes.InCluster;

/// <summary>Events about the pod this process is in. It knows the pod from variables that the Downward API fills.</summary>
internal static class PodEvent
{
    /// <summary>The variable that holds the pod's namespace.</summary>
    public const string NamespaceVariable = "POD_NAMESPACE";

    /// <summary>The reason of an Event that says why a worker was not let in.</summary>
    public const string Refused = "HostRefused";

    /// <summary>As much as the API takes.</summary>
    private const int LongestMessage = 1024;

    /// <summary>An Event about this pod; null where this process does not know that it is in one.</summary>
    /// <param name="environment">The environment variables.</param>
    /// <param name="reason">Why, in a word.</param>
    /// <param name="sentence">Why, in a sentence.</param>
    /// <param name="now">When.</param>
    public static Corev1Event? Of(IReadOnlyDictionary<string, string> environment, string reason, string sentence, DateTimeOffset now)
    {
        if (environment.GetValueOrDefault("POD_NAME") is not { Length: > 0 } pod || environment.GetValueOrDefault(NamespaceVariable) is not { Length: > 0 } space)
        {
            return null;
        }

        return new Corev1Event
        {
            ApiVersion = "v1",
            Kind = "Event",
            Metadata = new V1ObjectMeta { GenerateName = $"{pod}.", NamespaceProperty = space },
            InvolvedObject = new V1ObjectReference
            {
                ApiVersion = "v1",
                Kind = "Pod",
                Name = pod,
                NamespaceProperty = space,
                Uid = environment.GetValueOrDefault("POD_UID") is { Length: > 0 } uid ? uid : null,
            },
            Type = "Warning",
            Reason = reason,
            Message = sentence.Length <= LongestMessage ? sentence : $"{sentence[..(LongestMessage - 3)]}...",
            Source = new V1EventSource { Component = "disttrain", Host = environment.GetValueOrDefault("NODE_NAME") },
            FirstTimestamp = now.UtcDateTime,
            LastTimestamp = now.UtcDateTime,
            Count = 1,
        };
    }
}
