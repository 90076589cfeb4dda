using System.Text.Json.Nodes;
using DistTrain.Kubernetes.Launching;
using DistTrain.TestKit.Kubernetes;
using PodLog = DistTrain.TestKit.Kubernetes.PodLog;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>A cluster for one test: the fake API server, a kubeconfig that leads to it, and what controllers would do, by hand.</summary>
internal sealed class ClusterFixture : IAsyncDisposable
{
    public const string Space = "team";
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly TempFolder _folder = new();
    private readonly Dictionary<string, PodLog> _logs = [];
    private readonly Dictionary<string, ToldRun> _told = [];

    private ClusterFixture(FakeApiServer server)
    {
        Server = server;
        server.Cluster.AddNamespace(Space);
        Environment = new Dictionary<string, string> { ["KUBECONFIG"] = _folder.File("config", server.Kubeconfig(space: Space)) };
        server.LogOf = (_, pod, _, previous) => _logs.GetValueOrDefault(previous ? pod + " before" : pod);
        server.Dial = (_, pod, port, token) => port == 5400 && _told.TryGetValue(pod, out var told)
            ? told.DialAsync(token)
            : throw new IOException($"error forwarding port {port} to pod {pod}: connect: connection refused");
    }

    public FakeApiServer Server { get; }

    public FakeCluster Cluster => Server.Cluster;

    public IReadOnlyDictionary<string, string> Environment { get; }

    public static async Task<ClusterFixture> StartAsync() => new(await FakeApiServer.StartAsync());

    /// <summary>The command line against this cluster.</summary>
    public Task<(int Code, string Out, string Error)> RunAsync(string line) => Cli.RunAsync(Scenario.Good, line.Split(' '), Environment);

    /// <summary>The objects of a launched run, as the launcher makes them.</summary>
    public void PutRun(string name = "digits", int workers = 2)
    {
        foreach (var manifest in RunManifests.Of(BaseManifests.Load(), new LaunchRequest(new RunNames(name), Space, null, workers, "name: x\n")))
        {
            var group = ((string)manifest["apiVersion"]!).Split('/') is [var named, _] ? "." + named : "";
            var kind = (string)manifest["kind"]!;
            Cluster.Put(FakeCluster.PathOf((kind == "NetworkPolicy" ? "networkpolicies" : kind.ToLowerInvariant() + "s") + group, Space, RunManifests.NameOf(manifest)), manifest);
        }
    }

    /// <summary>A pod that runs; the log it writes, and for a coordinator the stream it tells.</summary>
    public PodLog PutPod(string name, string component = "coordinator", ToldRun? told = null, string run = "digits", string phase = "Running", string? node = "node-1")
    {
        var owner = Cluster.Find(component == "coordinator" ? FakeCluster.PathOf("jobs.batch", Space, $"{run}-coordinator") : FakeCluster.PathOf("deployments.apps", Space, $"{run}-worker"));
        Cluster.Put(FakeCluster.PathOf("pods", Space, name), ManifestYaml.Read(
            $$"""
            metadata:
              name: {{name}}
              labels: { app.kubernetes.io/name: disttrain, app.kubernetes.io/instance: {{run}}, app.kubernetes.io/component: {{component}} }
              ownerReferences: [{ apiVersion: x, kind: x, name: x, uid: "{{(string?)owner?["metadata"]?["uid"]}}" }]
            spec: { containers: [{ name: {{component}} }]{{(node is null ? "" : $", nodeName: {node}")}} }
            status: { phase: {{phase}}, conditions: [{ type: Ready, status: "True" }] }
            """).Single());
        if (told is not null)
        {
            _told[name] = told;
        }

        return _logs[name] = new PodLog();
    }

    /// <summary>The log of a pod's container before the present one.</summary>
    public PodLog PutLogBefore(string pod) => _logs[pod + " before"] = new PodLog();

    public void EndPod(string name, string phase = "Succeeded")
    {
        _told.Remove(name);
        Cluster.Change(FakeCluster.PathOf("pods", Space, name), pod => pod["status"]!["phase"] = phase);
        _logs[name].Close();
    }

    public void EndJob(string condition = "Complete", string reason = "", string run = "digits") => Cluster.Change(
        FakeCluster.PathOf("jobs.batch", Space, $"{run}-coordinator"),
        job => job["status"] = new JsonObject { ["conditions"] = new JsonArray(new JsonObject { ["type"] = condition, ["status"] = "True", ["reason"] = reason }) });

    public JsonObject? Find(string resource, string name) => Cluster.Find(FakeCluster.PathOf(resource, Space, name));

    /// <summary>Waits for an object.</summary>
    public async Task AppearsAsync(string resource, string name)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        late.CancelAfter(Patience);
        await foreach (var change in Cluster.Watch(fromStart: true, late.Token).ReadAllAsync(late.Token))
        {
            if (change.Type != "DELETED" && change.Path.Qualified == resource && change.Path.Name == name)
            {
                return;
            }
        }

        throw new TimeoutException($"There is no {resource} {name} after {Patience}.");
    }

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        _folder.Dispose();
    }
}
