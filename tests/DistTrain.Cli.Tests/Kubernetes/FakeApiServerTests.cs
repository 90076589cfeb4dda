using System.Text.Json.Nodes;
using DistTrain.TestKit.Kubernetes;
using k8s;
using k8s.Autorest;
using k8s.Models;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>The fake API server does what the real one does, as far as launching needs it.</summary>
public sealed class FakeApiServerTests
{
    private static CancellationToken Now => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Apply_makes_then_changes_and_keeps_what_others_own()
    {
        await using var server = await FakeApiServer.StartAsync();
        using var client = server.Client();
        var made = await ApplyAsync(client, """{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "x": "1" } }""");
        server.Cluster.Change(FakeCluster.PathOf("configmaps", "default", "a"), o => o["data"]!["y"] = "2");
        var changed = await ApplyAsync(client, """{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "x": "3" } }""");
        Assert.Equal(("3", "2", made.Metadata.Uid), (changed.Data["x"], changed.Data["y"], changed.Metadata.Uid));
        Assert.NotEqual(made.Metadata.ResourceVersion, changed.Metadata.ResourceVersion);
    }

    [Fact]
    public async Task A_field_that_no_model_knows_is_refused_and_a_dry_run_changes_nothing()
    {
        await using var server = await FakeApiServer.StartAsync();
        using var client = server.Client();
        var refused = await Assert.ThrowsAsync<HttpOperationException>(
            () => ApplyAsync(client, """{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "dta": { "x": "1" } }"""));
        Assert.Contains("field not declared in schema", refused.Response.Content, StringComparison.Ordinal);
        await ApplyAsync(client, """{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } }""", dryRun: true);
        Assert.Null(server.Cluster.Find(FakeCluster.PathOf("configmaps", "default", "a")));
    }

    [Fact]
    public async Task A_jobs_template_is_immutable()
    {
        await using var server = await FakeApiServer.StartAsync();
        using var client = server.Client();
        const string job = """{ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "a" }, "spec": { "template": { "spec": { "containers": [{ "name": "NAME" }] } } } }""";
        await Patch(job.Replace("NAME", "x", StringComparison.Ordinal));
        await Patch(job.Replace("NAME", "x", StringComparison.Ordinal));
        var refused = await Assert.ThrowsAsync<HttpOperationException>(() => Patch(job.Replace("NAME", "y", StringComparison.Ordinal)));
        Assert.Contains("field is immutable", refused.Response.Content, StringComparison.Ordinal);

        Task<V1Job> Patch(string text) => client.BatchV1.PatchNamespacedJobAsync(
            new V1Patch(text, V1Patch.PatchType.ApplyPatch), "a", "default", fieldManager: "me", force: true, cancellationToken: Now);
    }

    [Fact]
    public async Task Lists_and_watches_go_by_labels()
    {
        await using var server = await FakeApiServer.StartAsync();
        using var client = server.Client();
        Put(server, "a", "x");
        Put(server, "b", "y");
        var list = await client.CoreV1.ListNamespacedPodAsync("default", labelSelector: "l in (x,z),l!=q,l", cancellationToken: Now);
        Assert.Equal(["a"], list.Items.Select(p => p.Metadata.Name));

        using var over = CancellationTokenSource.CreateLinkedTokenSource(Now);
        over.CancelAfter(TimeSpan.FromSeconds(30));
        var seen = new List<string>();
        await foreach (var (type, pod) in client.CoreV1.WatchListNamespacedPodAsync("default", labelSelector: "l=x", cancellationToken: over.Token))
        {
            seen.Add($"{type} {pod.Metadata.Name}");
            if (seen.Count == 1)
            {
                Put(server, "c", "y");
                Put(server, "d", "x");
                server.Cluster.Delete(FakeCluster.PathOf("pods", "default", "a"));
            }
            else if (seen.Count == 3)
            {
                break;
            }
        }

        Assert.Equal(["Added a", "Added d", "Deleted a"], seen);
    }

    [Fact]
    public async Task What_an_object_owns_goes_with_it_and_a_pod_on_a_node_when_its_kubelet_says_so()
    {
        await using var server = await FakeApiServer.StartAsync();
        using var client = server.Client();
        var job = server.Cluster.Put(FakeCluster.PathOf("jobs.batch", "default", "j"), []);
        foreach (var (name, node) in new[] { ("free", (string?)null), ("placed", "node-1") })
        {
            server.Cluster.Put(FakeCluster.PathOf("pods", "default", name), new JsonObject
            {
                ["metadata"] = new JsonObject { ["ownerReferences"] = new JsonArray(new JsonObject { ["uid"] = job["metadata"]!["uid"]!.DeepClone() }) },
                ["spec"] = new JsonObject { ["nodeName"] = node },
            });
        }

        await client.BatchV1.DeleteNamespacedJobAsync("j", "default", new V1DeleteOptions { PropagationPolicy = "Background" }, cancellationToken: Now);
        var left = Assert.Single((await client.CoreV1.ListNamespacedPodAsync("default", cancellationToken: Now)).Items);
        Assert.Equal(("placed", 30), (left.Metadata.Name, left.Metadata.DeletionGracePeriodSeconds));
        Assert.NotNull(left.Metadata.DeletionTimestamp);
        await client.CoreV1.DeleteNamespacedPodAsync("placed", "default", new V1DeleteOptions { GracePeriodSeconds = 0 }, cancellationToken: Now);
        Assert.Empty((await client.CoreV1.ListNamespacedPodAsync("default", cancellationToken: Now)).Items);
    }

    [Fact]
    public async Task Scale_is_read_and_changed_alone()
    {
        await using var server = await FakeApiServer.StartAsync();
        using var client = server.Client();
        server.Cluster.Put(FakeCluster.PathOf("deployments.apps", "default", "w"), new JsonObject { ["spec"] = new JsonObject { ["replicas"] = 2 } });
        Assert.Equal(2, (await client.AppsV1.ReadNamespacedDeploymentScaleAsync("w", "default", cancellationToken: Now)).Spec.Replicas);
        var scaled = await client.AppsV1.PatchNamespacedDeploymentScaleAsync(
            new V1Patch("""{ "spec": { "replicas": 0 } }""", V1Patch.PatchType.MergePatch), "w", "default", cancellationToken: Now);
        Assert.Equal(0, scaled.Spec.Replicas);
        Assert.Equal(0, (int)server.Cluster.Find(FakeCluster.PathOf("deployments.apps", "default", "w"))!["spec"]!["replicas"]!);
    }

    [Fact]
    public async Task Events_are_made_by_name_or_prefix()
    {
        await using var server = await FakeApiServer.StartAsync();
        using var client = server.Client();
        var told = new Corev1Event
        {
            Metadata = new V1ObjectMeta { GenerateName = "worker." },
            InvolvedObject = new V1ObjectReference { Kind = "Pod", Name = "worker" },
            Reason = "Refused",
            Message = "why",
            Type = "Warning",
        };
        await client.CoreV1.CreateNamespacedEventAsync(told, "default", cancellationToken: Now);
        var list = await client.CoreV1.ListNamespacedEventAsync("default", fieldSelector: "involvedObject.name=worker", cancellationToken: Now);
        Assert.StartsWith("worker.", Assert.Single(list.Items).Metadata.Name, StringComparison.Ordinal);
        Assert.Empty((await client.CoreV1.ListNamespacedEventAsync("default", fieldSelector: "involvedObject.name!=worker", cancellationToken: Now)).Items);
    }

    private static Task<V1ConfigMap> ApplyAsync(IKubernetes client, string json, bool dryRun = false) => client.CoreV1.PatchNamespacedConfigMapAsync(
        new V1Patch(json, V1Patch.PatchType.ApplyPatch), "a", "default", dryRun ? "All" : null, "me", "Strict", force: true, cancellationToken: Now);

    private static void Put(FakeApiServer server, string name, string label) => server.Cluster.Put(
        FakeCluster.PathOf("pods", "default", name), new JsonObject { ["metadata"] = new JsonObject { ["labels"] = new JsonObject { ["l"] = label } } });
}
