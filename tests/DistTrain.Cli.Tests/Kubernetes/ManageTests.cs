using System.Text.Json.Nodes;
using DistTrain.TestKit.Kubernetes;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary><c>status</c>, <c>scale</c>, <c>logs</c> and <c>delete</c> for a run that was launched.</summary>
public sealed class ManageTests
{
    [Fact]
    public async Task Status_shows_progress_pods_problems_and_events()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        await using var told = await ToldRun.StartAsync();
        cluster.PutRun(workers: 3);
        told.Tell(Events.Started(steps: 4, samples: 40), Events.Step(2, 20, loss: 0.5));
        cluster.PutPod("digits-coordinator-a", told: told);
        cluster.PutPod("digits-worker-a", "worker");
        cluster.PutPod("digits-worker-b", "worker", phase: "Pending", node: null);
        cluster.Cluster.Change(FakeCluster.PathOf("pods", ClusterFixture.Space, "digits-worker-b"), pod => pod["status"]!["conditions"] = JsonNode.Parse(
            """[{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu." }]"""));
        cluster.Cluster.Change(FakeCluster.PathOf("deployments.apps", ClusterFixture.Space, "digits-worker"), d => d["status"] = new JsonObject { ["readyReplicas"] = 1 });
        PutEvent(cluster, "digits-worker-b", "FailedScheduling", "0/3 nodes are available: 3 Insufficient cpu.");
        PutEvent(cluster, "another", "Failed", "not ours");

        var (code, text, error) = await cluster.RunAsync("status digits");
        Assert.Equal((0, ""), (code, error));
        Assert.Equal(
            """
            run          digits in the namespace team
            status       running
            progress     step 2/4 (50 %), epoch 0, loss 0.5, rate 0.1, 100 samples/s, 2 workers, 0.2 s left
            coordinator  digits-coordinator-a, Running on node-1
            workers      3 wanted, 1 take part
              0          digits-worker-a, Running on node-1
              1          digits-worker-b, Pending
            volume       digits-run, Pending

            problems
              pod/digits-worker-b: No node takes it: 3 of 3 have too little cpu left. Have fewer workers (scale), or ask for less cpu.

            recent events
            """, text[..(text.IndexOf("recent events", StringComparison.Ordinal) + 13)]);
        Assert.EndsWith("ago  Warning  FailedScheduling  pod/digits-worker-b  0/3 nodes are available: 3 Insufficient cpu\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("not ours", text, StringComparison.Ordinal);

        // The only run needs no name.
        Assert.StartsWith("run          digits in the namespace team\n", (await cluster.RunAsync("status")).Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Status_is_one_object_for_programs()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun(workers: 3);
        cluster.PutPod("digits-coordinator-a").Write("step 2/4 (50 %)");
        var (code, text, _) = await cluster.RunAsync("status digits --json");
        var json = JsonNode.Parse(text)!;
        Assert.Equal(0, code);
        Assert.Equal(("digits", "team", "running", 3, 0), ((string?)json["name"], (string?)json["namespace"], (string?)json["status"], (int)json["workers"]!["wanted"]!, (int)json["workers"]!["ready"]!));
        Assert.Equal(("digits-coordinator-a", true, 0), ((string?)json["coordinator"]!["pod"], (bool)json["coordinator"]!["ready"]!, (int)json["coordinator"]!["restarts"]!));
        Assert.Equal("step 2/4 (50 %)", (string?)json["progress"]!["line"]);
    }

    [Fact]
    public async Task Status_without_a_name_lists_several_runs()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        Assert.Equal((0, "There are no runs in the namespace team.\n", ""), await cluster.RunAsync("status"));
        cluster.PutRun("one");
        cluster.PutRun("two", workers: 5);
        cluster.EndJob(run: "two");
        Assert.Equal(
            (0, "run  status     wanted  ready  problems\none  pending         2      0         0\ntwo  completed       5      0         0\n", ""), await cluster.RunAsync("status"));
        var json = JsonNode.Parse((await cluster.RunAsync("status --json")).Out)!;
        Assert.Equal(["one", "two"], json["runs"]!.AsArray().Select(r => (string?)r!["name"]));
    }

    [Fact]
    public async Task Who_may_not_see_events_or_volumes_sees_the_rest()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        cluster.Server.Refuse = r => r.Path.Plural is "events" or "persistentvolumeclaims" ? StatusReply.Forbidden("ada", r.Verb, r.Path) : null;
        var (code, text, error) = await cluster.RunAsync("status digits");
        Assert.Equal((0, ""), (code, error));
        Assert.Contains("coordinator  no pod\n", text, StringComparison.Ordinal);
        Assert.EndsWith("volume       none\n", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("status nosuch")]
    [InlineData("scale nosuch --workers 3")]
    [InlineData("logs nosuch")]
    [InlineData("delete nosuch")]
    public async Task A_run_that_is_not_there_is_told_with_those_that_are(string line)
    {
        await using var cluster = await ClusterFixture.StartAsync();
        Assert.Equal(
            (1, "", "error: There is no run nosuch in the namespace team (it has none): check the name, or give --namespace.\n"), await cluster.RunAsync(line));
        cluster.PutRun("one");
        cluster.PutRun("two");
        Assert.Equal(
            (1, "", "error: There is no run nosuch in the namespace team (it has one, two): check the name, or give --namespace.\n"), await cluster.RunAsync(line));
    }

    [Fact]
    public async Task Scale_changes_the_subresource_and_nothing_else()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun(workers: 2);
        Assert.Equal((0, "digits: 8 workers wanted, 2 before. Whoever joins or leaves does so between two steps.\n", ""), await cluster.RunAsync("scale digits --workers 8"));
        Assert.Equal(8, (int)cluster.Find("deployments.apps", "digits-worker")!["spec"]!["replicas"]!);
        Assert.Equal("patch deployments.apps/scale team/digits-worker", cluster.Server.Requests.Single(r => r.Verb is not ("get" or "list")).ToString());
        Assert.Equal((0, """{"name":"digits","namespace":"team","before":8,"workers":1}""" + "\n", ""), await cluster.RunAsync("scale digits -w 1 --json"));
        Assert.Equal((0, "digits: 0 workers wanted, 1 before. The run pauses until there are some again.\n", ""), await cluster.RunAsync("scale digits --workers 0"));
    }

    [Fact]
    public async Task Scale_of_a_run_that_is_over_is_refused_but_to_0()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        cluster.EndJob();
        Assert.Equal((1, "", "error: The run digits is completed: workers would find nothing to do. Its folder is on its volume.\n"), await cluster.RunAsync("scale digits --workers 8"));
        Assert.Equal(0, (await cluster.RunAsync("scale digits --workers 0")).Code);
    }

    [Fact]
    public async Task Scale_that_is_forbidden_names_verb_and_object()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        cluster.Server.Refuse = r => r.Path.Subresource == "scale" ? StatusReply.Forbidden("ada", r.Verb, r.Path) : null;
        var (code, _, error) = await cluster.RunAsync("scale digits --workers 8");
        Assert.Equal(1, code);
        Assert.StartsWith("error: ada may not patch deployments.apps/scale in the namespace team, which is needed to scale deployment.apps/digits-worker:", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Logs_are_the_coordinators_or_a_workers()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        var log = cluster.PutPod("digits-coordinator-a");
        log.Write("one");
        log.Write("two");
        cluster.PutPod("digits-worker-a", "worker").Write("three");
        cluster.PutLogBefore("digits-worker-a").Write("error: before");

        Assert.Equal((0, "one\ntwo\n", ""), await cluster.RunAsync("logs digits"));
        Assert.Equal((0, "two\n", ""), await cluster.RunAsync("logs digits --coordinator --tail 1"));
        Assert.Equal((0, "three\n", ""), await cluster.RunAsync("logs digits --worker 0"));
        Assert.Equal((0, "error: before\n", ""), await cluster.RunAsync("logs digits --worker 0 --previous"));
        Assert.Equal((0, """{"pod":"digits-worker-a","line":"three"}""" + "\n", ""), await cluster.RunAsync("logs digits --worker 0 --json"));
        Assert.Equal((1, "", "error: The run digits has no worker 1: 1 worker has a pod, numbered from 0.\n"), await cluster.RunAsync("logs digits --worker 1"));
    }

    [Fact]
    public async Task Logs_are_followed_line_by_line_until_the_container_ends()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        var log = cluster.PutPod("digits-coordinator-a");
        using var lines = new LineChannel();
        var followed = Cli.AppOf(Scenario.Good, lines, TextWriter.Null, ["logs", "digits", "--follow"], cluster.Environment).RunAsync(TestContext.Current.CancellationToken);
        log.Write("one");
        Assert.Equal("one", await lines.NextAsync());
        log.Write("two");
        Assert.Equal("two", await lines.NextAsync());
        Assert.False(followed.IsCompleted);
        log.Close();
        Assert.Equal(0, await followed);
    }

    [Fact]
    public async Task Who_stops_reading_a_log_has_not_failed()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        cluster.PutPod("digits-coordinator-a").Write("one");
        using var lines = new LineChannel();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var followed = Cli.AppOf(Scenario.Good, lines, TextWriter.Null, ["logs", "digits", "-f"], cluster.Environment).RunAsync(stop.Token);
        Assert.Equal("one", await lines.NextAsync());
        await stop.CancelAsync();
        Assert.Equal(0, await followed.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Logs_of_who_has_not_begun_are_a_sentence()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        Assert.Equal((1, "", "error: The coordinator of digits has no pod yet: see 'status digits'.\n"), await cluster.RunAsync("logs digits"));
        cluster.PutPod("digits-worker-a", "worker", phase: "Pending");
        cluster.Server.LogOf = (_, _, _, _) => null;
        Assert.Equal(
            (1, "", "error: The cluster refuses to read the log of pod/digits-worker-a: container \"worker\" in pod \"digits-worker-a\" is waiting to start: ContainerCreating.\n"),
            await cluster.RunAsync("logs digits --worker 0"));
    }

    [Fact]
    public async Task Delete_takes_all_but_the_volume_and_says_so()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        cluster.PutRun("other");
        cluster.PutPod("digits-coordinator-a", node: null);
        cluster.PutPod("digits-worker-a", "worker", node: null);

        var (code, text, error) = await cluster.RunAsync("delete digits --keep-data");
        Assert.Equal((0, ""), (code, error));
        Assert.StartsWith("job.batch/digits-coordinator deleted\ndeployment.apps/digits-worker deleted\n", text, StringComparison.Ordinal);
        Assert.EndsWith(
            "The volume claim digits-run is kept, with the run's folder and its checkpoints: launched again, the run goes on. 'delete digits --delete-data' deletes them for good.\n",
            text, StringComparison.Ordinal);
        Assert.Equal(["digits-run"], Left(cluster, "digits"));
        Assert.Equal(14, Left(cluster, "other").Count());
        Assert.All(cluster.Server.Requests.Where(r => r.Verb == "delete"), r => Assert.Equal("Background", (string?)r.Body!["propagationPolicy"]));
    }

    [Fact]
    public async Task Delete_takes_the_volume_where_that_is_asked_for()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        var (code, text, _) = await cluster.RunAsync("delete digits --delete-data");
        Assert.Equal(0, code);
        Assert.EndsWith("persistentvolumeclaim/digits-run deleted\nThe run's folder and its checkpoints are deleted.\n", text, StringComparison.Ordinal);
        Assert.Empty(Left(cluster, "digits"));
    }

    [Fact]
    public async Task Delete_takes_what_a_launch_that_broke_off_has_left()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.Server.Refuse = r => r is { Verb: "apply", IsDryRun: false, Path.Plural: "networkpolicies" } ? new StatusReply(503, "ServiceUnavailable", "etcd is gone") : null;
        Assert.EndsWith("remove them by 'delete digits', then launch again.\n", (await cluster.RunAsync("launch kubernetes toy --name digits --detach")).Error, StringComparison.Ordinal);
        Assert.NotEmpty(Left(cluster, "digits"));
        Assert.Equal(0, (await cluster.RunAsync("delete digits")).Code);
        Assert.Empty(Left(cluster, "digits"));
    }

    [Fact]
    public async Task Delete_lets_the_coordinator_end_before_its_workers_and_waits_no_longer_than_it_may()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.PutRun();
        cluster.PutPod("digits-coordinator-a");
        var (code, text, error) = await cluster.RunAsync("delete digits --timeout 1s");
        Assert.Equal(1, code);
        Assert.StartsWith("job.batch/digits-coordinator deleted\ndeployment.apps/digits-worker deleted\n", text, StringComparison.Ordinal);
        Assert.Equal(
            "error: Still there after 1s: pod/digits-coordinator-a. They are asked to end; a pod whose node is gone stays until the node is removed "
            + "('kubectl delete pod --force' does not wait for it).\n", error);

        var gone = cluster.RunAsync("delete digits --json");
        cluster.Cluster.Delete(FakeCluster.PathOf("pods", ClusterFixture.Space, "digits-coordinator-a"), grace: 0);
        Assert.Equal((0, """{"name":"digits","namespace":"team","deleted":[],"left":[],"keptVolume":"digits-run"}""" + "\n", ""), await gone);
    }

    [Fact]
    public async Task A_server_that_is_not_there_is_a_sentence()
    {
        var cluster = await ClusterFixture.StartAsync();
        await cluster.Server.DisposeAsync();
        var (code, _, error) = await cluster.RunAsync("status digits");
        Assert.Equal(1, code);
        Assert.StartsWith($"error: The cluster's API server at {cluster.Server.Address} is not reached (Connection refused).", error, StringComparison.Ordinal);
    }

    private static IEnumerable<string> Left(ClusterFixture cluster, string run) =>
        new[]
        {
            "jobs.batch", "deployments.apps", "pods", "services", "serviceaccounts", "configmaps", "persistentvolumeclaims", "roles.rbac.authorization.k8s.io",
            "rolebindings.rbac.authorization.k8s.io", "networkpolicies.networking.k8s.io", "poddisruptionbudgets.policy",
        }.SelectMany(r => cluster.Cluster.List(FakeCluster.PathOf(r, ClusterFixture.Space))).Select(o => (string)o["metadata"]!["name"]!)
            .Where(name => name.StartsWith(run + "-", StringComparison.Ordinal));

    private static void PutEvent(ClusterFixture cluster, string pod, string reason, string message) => cluster.Cluster.Put(
        FakeCluster.PathOf("events", ClusterFixture.Space, pod + ".1"), new JsonObject
        {
            ["metadata"] = new JsonObject(),
            ["type"] = "Warning",
            ["reason"] = reason,
            ["message"] = message,
            ["involvedObject"] = new JsonObject { ["kind"] = "Pod", ["name"] = pod },
        });
}
