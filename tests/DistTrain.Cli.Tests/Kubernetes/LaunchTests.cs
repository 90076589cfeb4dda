using System.Text.Json.Nodes;
using DistTrain.Kubernetes.Launching;
using DistTrain.TestKit.Kubernetes;
using k8s;
using k8s.Models;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary><c>launch kubernetes</c> until the run is there: what is printed, tried and applied, and every refusal.</summary>
public sealed class LaunchTests
{
    private const string Launch = "launch kubernetes toy --name digits --detach";

    [Fact]
    public async Task A_dry_run_prints_what_would_be_applied_and_asks_nobody()
    {
        var (code, text, error) = await Cli.RunAsync(
            Scenario.Good, "launch kubernetes toy --workers 7 --image r.io/x:2 --namespace team --name mine --dry-run".Split(' '), new Dictionary<string, string>());

        Assert.Equal((0, ""), (code, error));
        var expected = RunManifests.Of(BaseManifests.Load(), new LaunchRequest(new RunNames("mine"), "team", "r.io/x:2", 7, Recipe));
        Assert.Equal(expected.Select(m => m.ToJsonString()), ManifestYaml.Read(text).Select(m => m.ToJsonString()));
    }

    [Fact]
    public async Task As_JSON_it_is_one_list()
    {
        var (_, text, _) = await Cli.RunAsync(Scenario.Good, "launch kubernetes toy --namespace team --dry-run --json".Split(' '), new Dictionary<string, string>());
        var list = JsonNode.Parse(text)!;
        Assert.Equal(("v1", "List", 14), ((string?)list["apiVersion"], (string?)list["kind"], list["items"]!.AsArray().Count));
    }

    [Theory]
    [InlineData("", "default")]
    [InlineData("team", "team")]
    public async Task Without_a_namespace_that_of_the_context_counts(string ofContext, string counts)
    {
        using var folder = new TempFolder();
        var environment = ofContext.Length == 0 ? new Dictionary<string, string>() : new Dictionary<string, string>
        {
            ["KUBECONFIG"] = folder.File("config", $"current-context: a\ncontexts: [{{ name: a, context: {{ cluster: c, user: u, namespace: {ofContext} }} }}]\n"
                + "clusters: [{ name: c, cluster: { server: 'http://127.0.0.1:1' } }]\nusers: [{ name: u, user: {} }]\n"),
        };
        var (_, text, _) = await Cli.RunAsync(Scenario.Good, ["launch", "kubernetes", "toy", "--dry-run"], environment);
        Assert.All(ManifestYaml.Read(text), m => Assert.Equal(counts, (string?)m["metadata"]!["namespace"]));
    }

    [Fact]
    public async Task A_changed_configuration_is_written_with_every_key_that_is_set_and_no_other()
    {
        var (_, text, _) = await Cli.RunAsync(
            Scenario.Good, "launch kubernetes toy --dry-run --set batch.global=20 --set data.path=/data --namespace team".Split(' '),
            new Dictionary<string, string> { ["DISTTRAIN__SEED"] = "5" });
        var map = ManifestYaml.Read(text).Single(m => (string?)m["kind"] == "ConfigMap");
        Assert.Equal(
            "# the configuration of this run, as it was launched\n" + Changed, (string?)map["data"]!["run.yaml"]);
    }

    [Fact]
    public async Task Every_mistake_is_told_at_once_before_any_cluster_is_asked()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        var (code, text, error) = await cluster.RunAsync("launch kubernetes toy --set batch.global=none --set data.path=here --name Bad- --image Bad");

        Assert.Equal((2, ""), (code, text));
        Assert.StartsWith("error: batch.global is 'none' (--set): must be a whole number", error, StringComparison.Ordinal);
        Assert.EndsWith(
            """

            error: data.path is 'here': in a cluster it is a path in the pods; give an absolute one, or data.url and data.sha256.
            error: --name is 'Bad-': must be at most 40 lower-case letters, digits and dashes, with a letter first and no dash last, such as digits-2.
            error: --image is 'Bad': must be the name of an image, in lower case, such as registry.example/team/disttrain:0.1.0.

            """, error);
        Assert.Empty(cluster.Server.Requests);
    }

    [Fact]
    public async Task A_run_is_tried_then_applied_in_order_by_one_manager_who_says_that_he_forces_it()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        var (code, text, error) = await cluster.RunAsync(Launch + " --workers 3 --image r.io/x:2");

        Assert.Equal((0, ""), (code, error));
        Assert.StartsWith("Launched digits in the namespace team with 3 workers.\n  status digits\n  logs digits --follow\n  scale digits --workers N\n  delete digits\n", text, StringComparison.Ordinal);
        Assert.Contains("kubectl --namespace team cp digits-fetch:/var/lib/disttrain/run digits\n", text, StringComparison.Ordinal);
        var applied = cluster.Server.Requests.Where(r => r.Verb == "apply").ToList();
        Assert.Equal(14, applied.TakeWhile(r => r.IsDryRun).Count());
        Assert.Equal(applied.Take(14).Select(r => r.Path), applied.Skip(14).Where(r => !r.IsDryRun).Select(r => r.Path));
        Assert.All(applied, r => Assert.Equal(("disttrain", true), (r.FieldManager, r.IsForced)));
        Assert.Equal(3, (int)cluster.Find("deployments.apps", "digits-worker")!["spec"]!["replicas"]!);
        Assert.Equal("r.io/x:2", (string?)cluster.Find("jobs.batch", "digits-coordinator")!["spec"]!["template"]!["spec"]!["containers"]![0]!["image"]);
        Assert.Equal(Recipe, (string?)cluster.Find("configmaps", "digits-configuration")!["data"]!["run.yaml"]);
    }

    [Fact]
    public async Task For_programs_it_is_an_event()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        Assert.Equal(
            (0, """{"event":"launched","name":"digits","namespace":"team","objects":14,"resumes":false}""" + "\n", ""), await cluster.RunAsync(Launch + " --json"));
    }

    [Fact]
    public async Task A_run_that_exists_is_refused_with_what_to_do()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        cluster.EndJob();
        Assert.Equal(
            (1, "", "error: The run digits exists in the namespace team and is completed: a run is not changed by launching it again. Follow it by 'status digits --namespace team', "
                + "delete it by 'delete digits --namespace team', or launch under another --name.\n"),
            await cluster.RunAsync(Launch + " --namespace team"));
        Assert.DoesNotContain(cluster.Server.Requests, r => r.Verb == "apply");
    }

    [Fact]
    public async Task A_volume_that_was_kept_goes_on()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        Assert.Equal(0, (await cluster.RunAsync("delete digits")).Code);
        Assert.Contains(
            "Launched digits in the namespace team with 2 workers. The volume claim digits-run was there already: where it holds a run, that run goes on.\n",
            (await cluster.RunAsync(Launch)).Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_the_cluster_objects_to_is_told_whole_and_nothing_is_left_behind()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.Server.Refuse = request => request switch
        {
            { Verb: "apply", Path.Plural: "roles" } => StatusReply.Forbidden("ada", "patch", request.Path),
            { Verb: "apply", Path.Plural: "rolebindings" } => StatusReply.NotFound(request.Path with { Plural = "roles" }),
            { Verb: "apply", Path.Plural: "jobs" } => StatusReply.Refused(request.Path, "exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=1, limited: count/jobs.batch=1"),
            _ => null,
        };
        var (code, text, error) = await cluster.RunAsync(Launch);

        Assert.Equal((1, ""), (code, text));
        Assert.Equal(4, error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.Contains("error: ada may not patch roles.rbac.authorization.k8s.io in the namespace team, which is needed to apply role.rbac.authorization.k8s.io/digits-coordinator", error, StringComparison.Ordinal);
        Assert.Contains("error: The quota q of the namespace team has no room", error, StringComparison.Ordinal);
        Assert.EndsWith("Nothing was launched.\n", error, StringComparison.Ordinal);
        Assert.Null(cluster.Find("serviceaccounts", "digits-coordinator"));
    }

    [Fact]
    public async Task A_webhook_that_cannot_be_tried_is_no_objection()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.Server.Refuse = r => r is { Verb: "apply", IsDryRun: true, Path.Plural: "jobs" or "deployments" }
            ? StatusReply.BadRequest("admission webhook \"old.example\" does not support dry run") : null;
        var (code, _, error) = await cluster.RunAsync(Launch);
        Assert.Equal((0, ""), (code, error));
        Assert.NotNull(cluster.Find("jobs.batch", "digits-coordinator"));
    }

    [Fact]
    public async Task A_namespace_that_is_missing_is_told_once()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        Assert.Equal(
            (1, "", "error: The namespace nosuch does not exist: make it (kubectl create namespace nosuch), or give another --namespace.\nNothing was launched.\n"),
            await cluster.RunAsync(Launch + " --namespace nosuch"));
    }

    [Fact]
    public async Task An_objection_in_the_middle_says_what_is_there_and_how_to_remove_it()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.Server.Refuse = request => request is { Verb: "apply", IsDryRun: false, Path.Plural: "jobs" } ? new StatusReply(503, "ServiceUnavailable", "etcd is gone") : null;
        var (code, _, error) = await cluster.RunAsync(Launch);
        Assert.Equal(1, code);
        Assert.EndsWith("now (503: etcd is gone). Try again in a moment.\n12 of 14 objects are there already: remove them by 'delete digits', then launch again.\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Credentials_that_have_expired_are_told()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.Server.Refuse = _ => StatusReply.Unauthorized();
        var (code, _, error) = await cluster.RunAsync(Launch);
        Assert.Equal(1, code);
        Assert.Contains("does not know who you are (Unauthorized): your credentials have expired or are wrong.", error, StringComparison.Ordinal);
    }

    /// <summary>A pod as strict as those of the run, for the same namespace: not root, nothing to write, limits for a quota, the claim only read.</summary>
    [Fact]
    public void The_pod_that_fetches_the_folder_is_one_and_admitted_where_the_run_is()
    {
        var run = FetchCommands.Of(new RunNames("mine"), "team")[0];
        var pod = KubernetesYaml.Deserialize<V1Pod>(run[(run.IndexOf("--overrides='", StringComparison.Ordinal) + 13)..^1], strict: true);

        Assert.Equal("mine-run", pod.Spec.Volumes.Single().PersistentVolumeClaim.ClaimName);
        Assert.True(pod.Spec.SecurityContext.RunAsNonRoot);
        Assert.False(pod.Spec.AutomountServiceAccountToken);
        var container = pod.Spec.Containers.Single();
        Assert.Equal((false, true, true), (container.SecurityContext.AllowPrivilegeEscalation, container.SecurityContext.ReadOnlyRootFilesystem, container.VolumeMounts.Single().ReadOnlyProperty));
        Assert.Equal(["cpu", "memory"], container.Resources.Limits.Keys.Order());
        Assert.DoesNotContain('\'', run[(run.IndexOf("--overrides='", StringComparison.Ordinal) + 13)..^1]);
    }

    private static string Recipe
    {
        get
        {
            var shelf = new DistTrain.Configuration.RecipeShelf();
            shelf.Add(typeof(Cli).Assembly);
            return shelf.Find("toy")!;
        }
    }

    private const string Changed =
        "batch:\n  global: 20\n  micro: 4\ndata:\n  count: 40\n  name: numbers\n  path: /data\nmodel:\n  hidden: 8\n  name: mlp\nname: toy\nseed: 5\nstop:\n  epochs: 1\ntask: toy\n";
}
