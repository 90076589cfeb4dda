using System.Diagnostics.Metrics;
using System.Text.RegularExpressions;
using DistTrain.Coordinator.Health;
using DistTrain.Kubernetes.Tests.Objects;
using DistTrain.Worker.Health;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests;

/// <summary>Alerts and dashboard ask for metrics that coordinator and worker have, by the names that Prometheus gives them.</summary>
public sealed partial class MetricsTests
{
    [Fact]
    public void Alerts_and_dashboard_know_the_metrics()
    {
        var (known, set) = (Known(), ManifestSet.Read("monitoring"));
        var asked = set.Of<PrometheusRule>().SelectMany(rule => rule.Spec.Groups).SelectMany(group => group.Rules).Select(rule => rule.Expr)
            .Append(set.Find<V1ConfigMap>("disttrain-dashboard")!.Data["disttrain.json"])
            .SelectMany(Asked).ToHashSet();

        Assert.Subset(known, asked);
        Assert.True(asked.Count > 10, $"Only {asked.Count} metrics are asked for.");
    }

    [Fact]
    public void A_metric_that_is_not_there_is_found() => Assert.Equal(["disttrain_stepp"], Asked("max(disttrain_stepp) > disttrain_step").Except(Known()));

    [Fact]
    public void Names_are_those_of_Prometheus() =>
        Assert.Subset(
            Known(), new HashSet<string> { "disttrain_step", "disttrain_workers_lost_total", "disttrain_worker_compute_seconds_total", "disttrain_worker_sent_bytes_total", "disttrain_worker_resident_bytes" });

    [Fact]
    public void The_dashboard_is_JSON_of_panels_that_ask_something()
    {
        using var dashboard = System.Text.Json.JsonDocument.Parse(ManifestSet.Read("monitoring").Find<V1ConfigMap>("disttrain-dashboard")!.Data["disttrain.json"]);
        var panels = dashboard.RootElement.GetProperty("panels").EnumerateArray().ToList();

        Assert.NotEmpty(panels);
        Assert.All(panels, panel => Assert.NotEmpty(Asked(panel.GetProperty("targets").ToString())));
    }

    /// <summary>The meters' instruments, named as the exporter names them: unit and, for a counter, 'total' at the end.</summary>
    private static HashSet<string> Known()
    {
        var known = new HashSet<string>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Name is not (CoordinatorMeter.Name or WorkerMeter.Name))
                {
                    return;
                }

                var unit = instrument.Unit switch { "s" => "_seconds", "By" => "_bytes", _ => "" };
                var kind = instrument.GetType().GetGenericTypeDefinition() == typeof(ObservableCounter<>) ? "_total" : "";
                known.Add(instrument.Name.Replace('.', '_') + unit + kind);
            },
        };
        listener.Start();
        using var coordinator = new CoordinatorMeter(new CoordinatorVitals(TimeProvider.System));
        using var worker = new WorkerMeter(new WorkerVitals(TimeProvider.System));
        return known;
    }

    private static IEnumerable<string> Asked(string expression) => Metric().Matches(expression).Select(match => match.Value);

    [GeneratedRegex(@"\bdisttrain_\w+")]
    private static partial Regex Metric();
}
