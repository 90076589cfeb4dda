using DistTrain.Kubernetes.Tests.Objects;
using DistTrain.PlayedCluster.Controllers;
using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Played;

/// <summary>The base, and pods of it in the states that a test needs.</summary>
internal static class PlayedPods
{
    public static ManifestSet Base => ManifestSet.Read("base");

    public static V1JobSpec Job => Base.Of<V1Job>().Single().Spec;

    public static V1DeploymentSpec Workers => Base.Of<V1Deployment>().Single().Spec;

    /// <summary>A worker's pod.</summary>
    public static V1Pod Worker(string name, bool isReady = true, string node = "node-1", int age = 0, string hash = "new", int restarts = 0, string address = "10.244.0.9") =>
        Pod(Workers.Template, name, isReady, node, age, address, new() { [DeploymentDecision.TemplateHash] = hash }, restarts);

    /// <summary>A coordinator's pod.</summary>
    public static V1Pod Coordinator(string name = "coordinator", bool isReady = true, string address = "10.244.0.2") =>
        Pod(Job.Template, name, isReady, "node-1", 0, address, [], 0);

    /// <summary>A coordinator's pod that has ended.</summary>
    public static V1Pod Ended(int exitCode, bool isDisrupted = false)
    {
        var pod = Coordinator(isReady: false);
        pod.Status.Phase = exitCode == 0 ? PodFacts.Succeeded : PodFacts.Failed;
        pod.Status.ContainerStatuses[0].State = new V1ContainerState { Terminated = new V1ContainerStateTerminated { ExitCode = exitCode } };
        if (isDisrupted)
        {
            pod.Status.Conditions.Add(new V1PodCondition { Type = PodFacts.DisruptionTarget, Status = "True" });
        }

        return pod;
    }

    private static V1Pod Pod(V1PodTemplateSpec template, string name, bool isReady, string node, int age, string address, Dictionary<string, string> labels, int restarts)
    {
        var spec = KubernetesJson.Deserialize<V1PodSpec>(KubernetesJson.Serialize(template.Spec));
        spec.NodeName = node;
        return new V1Pod
        {
            Metadata = new V1ObjectMeta
            {
                Name = name,
                NamespaceProperty = "training",
                Uid = $"uid-of-{name}",
                Labels = template.Metadata.Labels.Concat(labels).ToDictionary(),
                CreationTimestamp = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddSeconds(-age),
            },
            Spec = spec,
            Status = new V1PodStatus
            {
                Phase = "Running",
                PodIP = address,
                HostIP = "10.244.0.1",
                Conditions = [new V1PodCondition { Type = "Ready", Status = isReady ? "True" : "False" }],
                ContainerStatuses = [new V1ContainerStatus { Name = spec.Containers[0].Name, RestartCount = restarts, Ready = isReady }],
            },
        };
    }
}
