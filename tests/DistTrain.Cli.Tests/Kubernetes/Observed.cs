using DistTrain.Kubernetes.Launching;
using k8s;
using k8s.Models;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>Objects as a cluster shows them, from the few lines that matter.</summary>
internal static class Observed
{
    public static T Object<T>(string yaml) => KubernetesYaml.Deserialize<T>(yaml, strict: true);

    /// <summary>A pod of the run <c>digits</c> with this status.</summary>
    public static V1Pod Pod(string component, string name, string status) => Object<V1Pod>(
        $$"""
        metadata:
          name: digits-{{component}}-{{name}}
          labels: { app.kubernetes.io/name: disttrain, app.kubernetes.io/instance: digits, app.kubernetes.io/component: {{component}} }
        spec: { nodeName: node-1, containers: [{ name: {{component}}, image: "r.io/disttrain:9" }] }
        status: {{status}}
        """);

    /// <summary>A status with one container.</summary>
    public static string Container(string state, string last = "{}", int restarts = 0, string phase = "Pending", string name = "worker") =>
        $$"""{ phase: {{phase}}, containerStatuses: [{ name: {{name}}, image: "r.io/disttrain:9", imageID: x, ready: false, restartCount: {{restarts}}, state: {{state}}, lastState: {{last}} }] }""";

    public static V1Job Job(string status = "{}", string spec = "{ template: {} }") =>
        Object<V1Job>($"metadata: {{ name: digits-coordinator }}\nspec: {spec}\nstatus: {status}\n");

    public static Corev1Event Event(string kind, string name, string reason, string message, string type = "Warning") => Object<Corev1Event>(
        $"metadata: {{ name: x }}\ntype: {type}\nreason: {reason}\nlastTimestamp: 2026-01-02T03:04:05Z\ninvolvedObject: {{ kind: {kind}, name: {name} }}\nmessage: {System.Text.Json.JsonSerializer.Serialize(message)}\n");

    public static RunSnapshot Run(V1Job? job = null, IEnumerable<V1Pod>? pods = null, IEnumerable<Corev1Event>? events = null, V1Deployment? workers = null, V1PersistentVolumeClaim? volume = null) =>
        new() { Names = new RunNames("digits"), Namespace = "team", Job = job ?? Job(), Pods = [.. pods ?? []], Events = [.. events ?? []], Workers = workers, Volume = volume };

    public static IEnumerable<string> Problems(RunSnapshot run) => RunDiagnosis.Of(run).Select(p => $"{p.Subject}: {p.Sentence}{(p.IsFinal ? " (final)" : "")}");
}
