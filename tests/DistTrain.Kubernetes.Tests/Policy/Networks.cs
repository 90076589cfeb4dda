using DistTrain.Kubernetes.Tests.Objects;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Policy;

/// <summary>Who reaches whom.</summary>
internal static class Networks
{
    public static Rule PodsAreClosed { get; } = new("nobody reaches a pod but by a NetworkPolicy", set =>
        from pod in set.Pods
        where !PoliciesOf(set, pod).Any()
        select $"{pod.Name}: no NetworkPolicy for what comes in selects it");

    public static Rule PortsAreCovered { get; } = new("a NetworkPolicy lets somebody reach every port of a container", set =>
        from container in set.Containers
        from port in container.Spec.Ports ?? []
        where !PoliciesOf(set, container.Pod).Any(policy => RulesOf(policy).Any(rule => Opens(rule, port)))
        select $"{container.Name}: port {port.Name} ({port.ContainerPort}) is covered by no NetworkPolicy");

    public static Rule OpenPortsExist { get; } = new("a NetworkPolicy opens no port that its pods do not have", set =>
        from policy in set.Of<V1NetworkPolicy>()
        from rule in RulesOf(policy)
        from open in rule.Ports ?? []
        where !set.Pods.Where(pod => policy.Spec.PodSelector.Selects(pod.Metadata.Labels))
            .Any(pod => pod.Spec.Containers.Any(c => (c.Ports ?? []).Any(port => Means(open, port))))
        select $"NetworkPolicy {policy.Metadata.Name}: port {open.Port} belongs to no container it is about");

    public static Rule ServicePortsAreCovered { get; } = new("every port of a Service leads to a container's port, which a NetworkPolicy covers", set =>
        from service in set.Of<V1Service>()
        from port in service.Spec.Ports
        let target = port.TargetPort?.ToString() ?? $"{port.Port}"
        let reached =
            from container in set.Containers
            where service.Spec.Selector.Selects(container.Pod.Metadata.Labels)
            from own in container.Spec.Ports ?? []
            where (own.Name == target || $"{own.ContainerPort}" == target)
                && PoliciesOf(set, container.Pod).Any(policy => RulesOf(policy).Any(rule => Opens(rule, own)))
            select own
        where !reached.Any()
        select $"Service {service.Metadata.Name}: port {port.Name} ({port.Port}) leads to no covered port of a container");

    public static Rule NobodyElse { get; } = new("a NetworkPolicy says who may come in, and through which ports", set =>
        from policy in set.Of<V1NetworkPolicy>()
        from rule in RulesOf(policy)
        where rule.FromProperty is not { Count: > 0 } || rule.Ports is not { Count: > 0 }
        select $"NetworkPolicy {policy.Metadata.Name}: a rule lets everybody in, or through every port");

    public static Rule OnlyWorkersTrain { get; } = new("only the run's own workers reach the ports it trains by", set =>
        from container in set.Containers
        where container.RunsProgram
        from port in container.Spec.Ports ?? []
        where port.Name != "health"
        from policy in PoliciesOf(set, container.Pod)
        from rule in RulesOf(policy)
        where Opens(rule, port)
        from peer in rule.FromProperty ?? []
        let labels = peer.PodSelector?.MatchLabels
        let others = peer.NamespaceSelector is not null || peer.IpBlock is not null ? "other namespaces or addresses"
            : labels.ValueOf(Labels.Component) != "worker" || labels.ValueOf(Labels.Instance) != container.Pod.Metadata.Labels[Labels.Instance] ? "pods that are no workers of the run"
            : null
        where others is not null
        select $"NetworkPolicy {policy.Metadata.Name}: port {port.Name} is open to {others}");

    public static IReadOnlyList<Rule> Rules { get; } = [PodsAreClosed, PortsAreCovered, OpenPortsExist, ServicePortsAreCovered, NobodyElse, OnlyWorkersTrain];

    private static IEnumerable<V1NetworkPolicy> PoliciesOf(ManifestSet set, PodOf pod) =>
        set.Of<V1NetworkPolicy>().Where(policy => policy.Spec.PolicyTypes?.Contains("Ingress") == true && policy.Spec.PodSelector.Selects(pod.Metadata.Labels));

    private static IEnumerable<V1NetworkPolicyIngressRule> RulesOf(V1NetworkPolicy policy) => policy.Spec.Ingress ?? [];

    private static bool Opens(V1NetworkPolicyIngressRule rule, V1ContainerPort port) => rule.Ports is not { Count: > 0 } || rule.Ports.Any(open => Means(open, port));

    private static bool Means(V1NetworkPolicyPort open, V1ContainerPort port) =>
        (open.Protocol ?? "TCP") == (port.Protocol ?? "TCP") && (open.Port?.ToString() == $"{port.ContainerPort}" || (port.Name is not null && open.Port?.ToString() == port.Name));
}
