using DistTrain.PlayedCluster.Api;
using DistTrain.PlayedCluster.Network;
using k8s.Models;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>What the kubelets of all nodes share. Nodes differ by their name alone: their pods are in network and mount namespaces of their own anyway.</summary>
internal sealed class Node
{
    private const int MostEvents = 10_000;

    private readonly List<ClusterEvent> _events = [];

    public required ClusterState State { get; init; }

    public required PodNetwork Network { get; init; }

    public required ControlGroups Groups { get; init; }

    public required Credentials Credentials { get; init; }

    public required IReadOnlyList<Image> Images { get; init; }

    /// <summary>What containers write.</summary>
    public required ContainerLogs Logs { get; init; }

    /// <summary>Where pods and volumes lie.</summary>
    public required string Folder { get; init; }

    /// <summary>By how much back-off times are divided.</summary>
    public required double Hurry { get; init; }

    /// <summary>What every container is told of the API server.</summary>
    public required IReadOnlyDictionary<string, string> ClusterEnvironment { get; init; }

    /// <summary>Prints a line.</summary>
    public required Action<string> Say { get; init; }

    /// <summary>What the nodes said about pods.</summary>
    public IReadOnlyList<ClusterEvent> Events
    {
        get
        {
            lock (_events)
            {
                return [.. _events];
            }
        }
    }

    /// <summary>Notes how a pod's container ended, which no Event of a cluster tells.</summary>
    public void Note(V1Pod pod, int exitCode, string message)
    {
        lock (_events)
        {
            _events.Add(new(DateTime.UtcNow, pod.Metadata.Name, "Normal", "Ended", message, exitCode));
        }

        Say($"{pod.Metadata.Name}: {message}");
    }

    /// <summary>Says something about a pod, as an Event.</summary>
    public void Tell(V1Pod pod, string type, string reason, string message)
    {
        var at = DateTime.UtcNow;
        lock (_events)
        {
            if (_events.Count == MostEvents)
            {
                return;
            }

            _events.Add(new(at, pod.Metadata.Name, type, reason, message));
        }

        State.Put(new Corev1Event
        {
            Metadata = new V1ObjectMeta { Name = $"{pod.Metadata.Name}.{at.Ticks:x}" },
            InvolvedObject = new V1ObjectReference
            {
                ApiVersion = "v1",
                Kind = V1Pod.KubeKind,
                Name = pod.Metadata.Name,
                NamespaceProperty = State.Space,
                Uid = pod.Metadata.Uid,
            },
            Type = type,
            Reason = reason,
            Message = message,
            FirstTimestamp = at,
            LastTimestamp = at,
            Count = 1,
            Source = new V1EventSource { Component = "kubelet", Host = pod.Spec.NodeName },
        });

        if (reason is not ("Unhealthy" or "Started"))
        {
            Say($"{pod.Metadata.Name}: {reason}: {message}");
        }
    }
}

/// <summary>What was said about a pod.</summary>
internal sealed record ClusterEvent(DateTime At, string Pod, string Type, string Reason, string Message, int? ExitCode = null);
