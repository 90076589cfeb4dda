using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Objects;

/// <summary><c>monitoring.coreos.com/v1</c>, what an unauthenticated scrape and alerts need of it, after <c>pkg/apis/monitoring/v1</c> of the Prometheus operator.</summary>
internal sealed class PodMonitor : IKubernetesObject<V1ObjectMeta>
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public PodMonitorSpec Spec { get; set; } = new();
}

internal sealed class PodMonitorSpec
{
    public string? JobLabel { get; set; }
    public List<string> PodTargetLabels { get; set; } = [];
    public List<PodMetricsEndpoint> PodMetricsEndpoints { get; set; } = [];
    public V1LabelSelector Selector { get; set; } = new();
    public ulong? SampleLimit { get; set; }
}

internal sealed class PodMetricsEndpoint
{
    public string? Port { get; set; }
    public string? Path { get; set; }
    public string? Scheme { get; set; }
    public string? Interval { get; set; }
    public string? ScrapeTimeout { get; set; }
    public bool? HonorLabels { get; set; }
}

internal sealed class PrometheusRule : IKubernetesObject<V1ObjectMeta>
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public PrometheusRuleSpec Spec { get; set; } = new();
}

internal sealed class PrometheusRuleSpec
{
    public List<RuleGroup> Groups { get; set; } = [];
}

internal sealed class RuleGroup
{
    public string Name { get; set; } = "";
    public string? Interval { get; set; }
    public List<AlertRule> Rules { get; set; } = [];
}

internal sealed class AlertRule
{
    public string? Record { get; set; }
    public string? Alert { get; set; }
    public string Expr { get; set; } = "";
    public string? For { get; set; }
    public Dictionary<string, string> Labels { get; set; } = [];
    public Dictionary<string, string> Annotations { get; set; } = [];
}
