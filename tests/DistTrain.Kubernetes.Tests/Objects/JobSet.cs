using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Objects;

/// <summary>
/// <c>jobset.x-k8s.io/v1alpha2</c>, as far as it can be written into a manifest: the fields that every release since 0.6 serves, after
/// <c>api/jobset/v1alpha2/jobset_types.go</c> of kubernetes-sigs/jobset. What is not here is refused, as by the server.
/// </summary>
internal sealed class JobSet : IKubernetesObject<V1ObjectMeta>
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public JobSetSpec Spec { get; set; } = new();
}

internal sealed class JobSetSpec
{
    public List<ReplicatedJob> ReplicatedJobs { get; set; } = [];
    public JobSetNetwork? Network { get; set; }
    public JobSetSuccessPolicy? SuccessPolicy { get; set; }
    public JobSetFailurePolicy? FailurePolicy { get; set; }
    public bool? Suspend { get; set; }
    public string? ManagedBy { get; set; }
    public int? TtlSecondsAfterFinished { get; set; }
}

internal sealed class ReplicatedJob
{
    public string Name { get; set; } = "";
    public V1JobTemplateSpec Template { get; set; } = new();
    public int? Replicas { get; set; }
}

internal sealed class JobSetNetwork
{
    public bool? EnableDNSHostnames { get; set; }
    public string? Subdomain { get; set; }
    public bool? PublishNotReadyAddresses { get; set; }
}

internal sealed class JobSetSuccessPolicy
{
    public string Operator { get; set; } = "";
    public List<string> TargetReplicatedJobs { get; set; } = [];
}

internal sealed class JobSetFailurePolicy
{
    public int? MaxRestarts { get; set; }
    public List<JobSetFailureRule> Rules { get; set; } = [];
}

internal sealed class JobSetFailureRule
{
    public string Name { get; set; } = "";
    public string Action { get; set; } = "";
    public List<string> OnJobFailureReasons { get; set; } = [];
    public List<string> TargetReplicatedJobs { get; set; } = [];
}
