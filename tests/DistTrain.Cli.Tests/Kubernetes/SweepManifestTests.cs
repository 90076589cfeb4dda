using System.Text.Json.Nodes;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>A sweep's runs as Jobs.</summary>
public sealed class SweepManifestTests
{
    private static readonly string[] Line =
    [
        "sweep", "toy", "--batches", "10,40", "--rates", "1x,2x", "--samples", "900", "--target", "0.25", "--on", "kubernetes", "--dry-run", "--name", "mine", "--namespace", "team",
        "--image", "registry.example/team/disttrain:2", "--json",
    ];

    [Fact]
    public async Task Every_run_is_a_Job_of_one_pod_that_sweeps_it_alone_on_a_volume_of_its_own()
    {
        var items = await ItemsAsync(Line);
        var jobs = items.Where(i => (string?)i["kind"] == "Job").ToList();
        Assert.Equal(["mine-1", "mine-2", "mine-3", "mine-4"], jobs.Select(Name));
        Assert.Equal(["ConfigMap", "Job", "PersistentVolumeClaim"], items.Select(i => (string)i["kind"]!).Distinct().Order());
        Assert.Equal(["mine-1-run", "mine-2-run", "mine-3-run", "mine-4-run"], items.Where(i => (string?)i["kind"] == "PersistentVolumeClaim").Select(Name));
        Assert.Contains("name: toy", (string)items.Single(i => (string?)i["kind"] == "ConfigMap")["data"]!["run.yaml"]!, StringComparison.Ordinal);
        Assert.Equal(["sgd-b10-r0.05", "sgd-b10-r0.1", "sgd-b40-r0.2", "sgd-b40-r0.4"], jobs.Select(j => (string?)j["metadata"]!["annotations"]!["disttrain/run"]));
        Assert.All(items, i => Assert.Equal("team", (string?)i["metadata"]!["namespace"]));
        Assert.All(jobs, job =>
        {
            var pod = job["spec"]!["template"]!["spec"]!;
            var container = Assert.Single(pod["containers"]!.AsArray())!;
            Assert.Equal("registry.example/team/disttrain:2", (string?)container["image"]);
            Assert.Equal($"{Name(job)}-run", (string?)pod["volumes"]!.AsArray().Single(v => v!["persistentVolumeClaim"] is not null)!["persistentVolumeClaim"]!["claimName"]);
            Assert.Equal("mine-configuration", (string?)pod["volumes"]!.AsArray().Single(v => v!["configMap"] is not null)!["configMap"]!["name"]);
            Assert.Null(pod["serviceAccountName"]);
            Assert.False((bool)pod["automountServiceAccountToken"]!);
            Assert.Null(container["livenessProbe"]);
            Assert.All(
                job["spec"]!["podFailurePolicy"]!["rules"]!.AsArray().Select(r => r!["onExitCodes"]).OfType<JsonObject>(), codes => Assert.Equal((string?)container["name"], (string?)codes["containerName"]));
            Assert.Equal("sweep", (string?)job["spec"]!["template"]!["metadata"]!["labels"]!["app.kubernetes.io/component"]);
            Assert.Null(job["metadata"]!["labels"]!["kueue.x-k8s.io/queue-name"]);
        });
    }

    [Fact]
    public async Task What_a_pod_is_started_with_is_that_one_run()
    {
        var job = (await ItemsAsync(Line)).Last(i => (string?)i["kind"] == "Job");
        var arguments = job["spec"]!["template"]!["spec"]!["containers"]![0]!["args"]!.AsArray().Select(a => (string)a!).ToArray();
        Assert.Equal(
            "sweep /etc/disttrain/run.yaml --batches 40 --rates 0.4 --optimizers sgd --parallel 1 --out /var/lib/disttrain/run --samples 900 --target 0.25", string.Join(' ', arguments));

        // The program takes them as they are: what fails is the file, which only a pod has.
        var (code, _, error) = await Cli.RunAsync(arguments);
        Assert.Equal(2, code);
        Assert.StartsWith("error: '/etc/disttrain/run.yaml' is neither a recipe nor a file", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_queue_is_a_label_of_every_Job()
    {
        var items = await ItemsAsync([.. Line, "--queue", "team-a"]);
        Assert.All(items.Where(i => (string?)i["kind"] == "Job"), j => Assert.Equal("team-a", (string?)j["metadata"]!["labels"]!["kueue.x-k8s.io/queue-name"]));
    }

    private static async Task<IReadOnlyList<JsonObject>> ItemsAsync(string[] line)
    {
        var (code, output, error) = await Cli.RunAsync(line);
        Assert.Equal((0, ""), (code, error));
        return [.. JsonNode.Parse(output)!["items"]!.AsArray().Select(i => i!.AsObject())];
    }

    private static string Name(JsonObject item) => (string)item["metadata"]!["name"]!;
}
