using System.Text;
using DistTrain.PlayedCluster.Controllers;
using k8s.Models;

namespace DistTrain.PlayedCluster.Network;

/// <summary>What the nodes' packet filter does for Services and NetworkPolicies, as a text for <c>nft -f</c> that replaces the last one whole.</summary>
internal static class Ruleset
{
    /// <summary>The table's name.</summary>
    public const string Table = "ip played";

    /// <summary>The rules.</summary>
    /// <param name="space">The namespace.</param>
    /// <param name="pods">All pods that have an address.</param>
    /// <param name="services">The Services, with their addresses.</param>
    /// <param name="policies">The policies.</param>
    public static string Of(string space, IReadOnlyList<V1Pod> pods, IReadOnlyList<V1Service> services, IReadOnlyList<V1NetworkPolicy> policies)
    {
        var text = new StringBuilder($"table {Table}\ndelete table {Table}\ntable {Table} {{\n");
        text.Append("  chain refused { type filter hook prerouting priority -150;\n");
        foreach (var (service, port) in PortsOf(services).Where(s => Endpoints(s.Service, s.Port, pods).Count == 0))
        {
            // Connections that were made before the last endpoint began to end go on.
            text.Append($"    ct state new ip daddr {service.Spec.ClusterIP} tcp dport {port.Port} reject with icmp port-unreachable\n");
        }

        text.Append("  }\n  chain services { type nat hook prerouting priority -100;\n");
        foreach (var (service, port) in PortsOf(services))
        {
            var endpoints = Endpoints(service, port, pods);
            for (var i = 0; i < endpoints.Count; i++)
            {
                // One endpoint after the other gets its share of what is left.
                var chance = i == endpoints.Count - 1 ? "" : $"numgen random mod {endpoints.Count - i} 0 ";
                text.Append($"    ip daddr {service.Spec.ClusterIP} tcp dport {port.Port} {chance}dnat to {endpoints[i]}\n");
            }
        }

        text.Append("  }\n");
        Policies(text, space, pods, policies);
        return text.Append("}\n").ToString();
    }

    /// <summary>Where a port of a Service leads to: the ready pods that its selector names.</summary>
    public static IReadOnlyList<string> Endpoints(V1Service service, V1ServicePort port, IReadOnlyList<V1Pod> pods) =>
    [
        .. from pod in pods
           where service.Spec.Selector is not null && new V1LabelSelector { MatchLabels = service.Spec.Selector }.Selects(pod.Metadata.Labels)
               && (pod.IsReady() || (service.Spec.PublishNotReadyAddresses == true && !pod.IsFinished()))
           let number = Number(port.TargetPort?.Value ?? $"{port.Port}", [pod]).Cast<int?>().FirstOrDefault()
           where number is not null
           orderby pod.Status.PodIP
           select $"{pod.Status.PodIP}:{number}",
    ];

    private static IEnumerable<(V1Service Service, V1ServicePort Port)> PortsOf(IEnumerable<V1Service> services) =>
        from service in services
        where service.Spec.ClusterIP is not (null or "" or "None")
        from port in service.Spec.Ports
        where (port.Protocol ?? "TCP") == "TCP"
        select (service, port);

    private static void Policies(StringBuilder text, string space, IReadOnlyList<V1Pod> pods, IReadOnlyList<V1NetworkPolicy> policies)
    {
        var chains = new StringBuilder();
        var jumps = new StringBuilder();
        foreach (var pod in pods)
        {
            var applying = policies.Where(p => p.Spec.PodSelector.Selects(pod.Metadata.Labels) && (p.Spec.PolicyTypes ?? ["Ingress"]).Contains("Ingress")).ToList();
            if (applying.Count == 0)
            {
                continue;
            }

            var chain = $"pod-{pod.Status.PodIP.Replace('.', '-')}";
            jumps.Append($"    ip daddr {pod.Status.PodIP} jump {chain}\n");
            chains.Append($"  chain {chain} {{\n");
            foreach (var rule in applying.SelectMany(p => p.Spec.Ingress ?? []))
            {
                foreach (var from in Peers(rule, space, pods))
                {
                    foreach (var to in PortRules(rule, pod))
                    {
                        chains.Append($"    {from}{to}accept\n");
                    }
                }
            }

            chains.Append("    drop\n  }\n");
        }

        text.Append(chains);
        text.Append("  chain policies { type filter hook forward priority 0;\n    ct state established,related accept\n").Append(jumps).Append("  }\n");
    }

    private static IEnumerable<string> Peers(V1NetworkPolicyIngressRule rule, string space, IReadOnlyList<V1Pod> pods)
    {
        if (rule.FromProperty is not { Count: > 0 })
        {
            yield return "";
        }

        foreach (var peer in rule.FromProperty ?? [])
        {
            if (peer.IpBlock is { } block)
            {
                yield return block.Except is { Count: > 0 }
                    ? $"ip saddr {block.Cidr} ip saddr != {{ {string.Join(", ", block.Except)} }} "
                    : $"ip saddr {block.Cidr} ";
                continue;
            }

            // There is one namespace, which carries the label that the API server gives it.
            var isHere = peer.NamespaceSelector is null || peer.NamespaceSelector.Selects(new Dictionary<string, string> { ["kubernetes.io/metadata.name"] = space });
            var addresses = pods.Where(p => isHere && (peer.PodSelector ?? new V1LabelSelector()).Selects(p.Metadata.Labels)).Select(p => p.Status.PodIP).ToList();
            if (addresses.Count > 0)
            {
                yield return $"ip saddr {{ {string.Join(", ", addresses)} }} ";
            }
        }
    }

    private static IEnumerable<string> PortRules(V1NetworkPolicyIngressRule rule, V1Pod pod)
    {
        if (rule.Ports is not { Count: > 0 })
        {
            yield return "";
        }

        foreach (var port in rule.Ports ?? [])
        {
            var protocol = (port.Protocol ?? "TCP").ToLowerInvariant();
            if (port.Port is null)
            {
                yield return $"meta l4proto {protocol} ";
                continue;
            }

            foreach (var number in Number(port.Port.Value, [pod]))
            {
                yield return $"{protocol} dport {number}{(port.EndPort is { } end ? $"-{end}" : "")} ";
            }
        }
    }

    /// <summary>The number of a port that may be given by the name it has at a container.</summary>
    public static IEnumerable<int> Number(string port, IEnumerable<V1Pod> pods) => int.TryParse(port, out var number)
        ? [number]
        : pods.SelectMany(p => p.Spec.Containers).SelectMany(c => c.Ports ?? []).Where(p => p.Name == port).Select(p => p.ContainerPort);
}
