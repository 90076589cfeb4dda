using k8s.Models;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>Who a container's process is, and what it may do.</summary>
internal sealed record Identity(long User, long Group, IReadOnlyList<long> Groups, bool NoNewPrivileges, bool DropAll, bool ReadOnlyRoot)
{
    /// <summary>The container's words before its pod's.</summary>
    /// <exception cref="NotPlayedException">It asks for something that is not played.</exception>
    public static Identity Of(V1Container container, V1PodSpec pod)
    {
        var own = container.SecurityContext ?? new V1SecurityContext();
        var common = pod.SecurityContext ?? new V1PodSecurityContext();
        if (own.Privileged == true || own.Capabilities?.Add is { Count: > 0 })
        {
            throw new NotPlayedException($"the privileges of the container {container.Name}");
        }

        var user = own.RunAsUser ?? common.RunAsUser ?? 0;
        if (user == 0 && (own.RunAsNonRoot ?? common.RunAsNonRoot) == true)
        {
            throw new NotPlayedException("container has runAsNonRoot and image will run as root");
        }

        var groups = (common.SupplementalGroups ?? []).Append(common.FsGroup).OfType<long>().Distinct().ToList();
        return new(
            user, own.RunAsGroup ?? common.RunAsGroup ?? 0, groups, own.AllowPrivilegeEscalation == false,
            own.Capabilities?.Drop?.Contains("ALL") == true, own.ReadOnlyRootFilesystem == true);
    }
}
