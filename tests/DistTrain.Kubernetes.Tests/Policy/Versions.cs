using DistTrain.Kubernetes.Tests.Objects;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Policy;

/// <summary>Only what every server from 1.25 on serves, and no field that is younger.</summary>
internal static class Versions
{
    /// <summary>Versions that are served since 1.25 or longer and are not announced to go; of other projects, what the overlays are written for.</summary>
    private static readonly Dictionary<string, string[]> Served = new()
    {
        ["v1"] = ["ConfigMap", "PersistentVolumeClaim", "Pod", "Service", "ServiceAccount"],
        ["apps/v1"] = ["Deployment"],
        ["batch/v1"] = ["Job"],
        ["policy/v1"] = ["PodDisruptionBudget"],
        ["networking.k8s.io/v1"] = ["NetworkPolicy"],
        ["rbac.authorization.k8s.io/v1"] = ["Role", "RoleBinding"],
        ["jobset.x-k8s.io/v1alpha2"] = ["JobSet"],
        ["kueue.x-k8s.io/v1beta1"] = ["LocalQueue", "ClusterQueue", "ResourceFlavor"],
        ["monitoring.coreos.com/v1"] = ["PodMonitor", "PrometheusRule"],
    };

    public static Rule AreServed { get; } = new("every API version is served since 1.25", set =>
        from item in set.Objects
        where !Served.GetValueOrDefault(item.ApiVersion, []).Contains(item.Kind)
        select $"{ManifestSet.OwnerName(item)}: {item.ApiVersion} is not served by every server from 1.25 on");

    public static Rule FieldsAreOld { get; } = new("no field is younger than 1.25", set =>
    [
        .. from budget in set.Of<V1PodDisruptionBudget>()
           where budget.Spec.UnhealthyPodEvictionPolicy is not null
           select $"{ManifestSet.OwnerName(budget)}: unhealthyPodEvictionPolicy came with 1.26",
        .. from job in set.Jobs
           where job.Spec is not { PodReplacementPolicy: null, BackoffLimitPerIndex: null, MaxFailedIndexes: null, SuccessPolicy: null, ManagedBy: null }
           select $"{job.Owner}: a field of the Job came after 1.25",
        .. from service in set.Of<V1Service>()
           where service.Spec.TrafficDistribution is not null
           select $"{ManifestSet.OwnerName(service)}: trafficDistribution came with 1.30",
        .. from pod in set.Pods
           where pod.Spec is not { SchedulingGates: null, ResourceClaims: null, Resources: null }
              || (pod.Spec.TopologySpreadConstraints ?? []).Any(s => s is not { NodeAffinityPolicy: null, NodeTaintsPolicy: null, MatchLabelKeys: null })
           select $"{pod.Name}: a field of the pod came after 1.25",
        .. from container in set.Containers
           where container.Spec is not { ResizePolicy: null, RestartPolicy: null } || container.Spec.Resources?.Claims is not null
              || (container.Spec.VolumeMounts ?? []).Any(m => m.RecursiveReadOnly is not null)
           select $"{container.Name}: a field of the container came after 1.25",
    ]);

    public static IReadOnlyList<Rule> Rules { get; } = [AreServed, FieldsAreOld];
}
