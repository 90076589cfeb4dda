using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Objects;

/// <summary>
/// <c>kueue.x-k8s.io/v1beta1</c>, as far as a queue needs it, after <c>apis/kueue/v1beta1</c> of kubernetes-sigs/kueue. Releases from 0.15 on
/// serve it beside v1beta2, with a warning.
/// </summary>
internal sealed class LocalQueue : IKubernetesObject<V1ObjectMeta>
{
    /// <summary>The label that puts an object into a queue.</summary>
    public const string Label = "kueue.x-k8s.io/queue-name";

    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public LocalQueueSpec Spec { get; set; } = new();
}

internal sealed class LocalQueueSpec
{
    public string ClusterQueue { get; set; } = "";
    public string? StopPolicy { get; set; }
}

internal sealed class ClusterQueue : IKubernetesObject<V1ObjectMeta>
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public ClusterQueueSpec Spec { get; set; } = new();
}

internal sealed class ClusterQueueSpec
{
    public List<QuotaGroup> ResourceGroups { get; set; } = [];
    public string? Cohort { get; set; }
    public string? QueueingStrategy { get; set; }
    public V1LabelSelector? NamespaceSelector { get; set; }
    public QueuePreemption? Preemption { get; set; }
    public string? StopPolicy { get; set; }
}

internal sealed class QuotaGroup
{
    public List<string> CoveredResources { get; set; } = [];
    public List<FlavorQuota> Flavors { get; set; } = [];
}

internal sealed class FlavorQuota
{
    public string Name { get; set; } = "";
    public List<ResourceQuota> Resources { get; set; } = [];
}

internal sealed class ResourceQuota
{
    public string Name { get; set; } = "";
    public ResourceQuantity? NominalQuota { get; set; }
    public ResourceQuantity? BorrowingLimit { get; set; }
    public ResourceQuantity? LendingLimit { get; set; }
}

internal sealed class QueuePreemption
{
    public string? ReclaimWithinCohort { get; set; }
    public string? WithinClusterQueue { get; set; }
}

internal sealed class ResourceFlavor : IKubernetesObject<V1ObjectMeta>
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public ResourceFlavorSpec Spec { get; set; } = new();
}

internal sealed class ResourceFlavorSpec
{
    public Dictionary<string, string> NodeLabels { get; set; } = [];
    public List<V1Taint> NodeTaints { get; set; } = [];
    public List<V1Toleration> Tolerations { get; set; } = [];
}
