using DistTrain.TestKit.Kubernetes;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>Following a launched run: through a forwarded port, over a coordinator's restart, by its log where ports may not be forwarded, to the end.</summary>
public sealed class FollowTests
{
    private const string Launch = "launch kubernetes toy --name digits";

    [Fact]
    public async Task A_run_is_followed_over_a_restart_of_its_coordinator_to_its_summary()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        await using var first = await ToldRun.StartAsync();
        await using var second = await ToldRun.StartAsync();
        var launched = cluster.RunAsync(Launch);
        await cluster.AppearsAsync("jobs.batch", "digits-coordinator");

        first.Tell(Events.Started(steps: 4, samples: 40), Events.Step(1, 10), Events.Happening("Half of it."));
        cluster.PutPod("digits-coordinator-a", told: first);
        first.BreakOff();
        await first.IsTold.WaitAsync(ClusterFixture.Patience, TestContext.Current.CancellationToken);
        cluster.EndPod("digits-coordinator-a", "Failed");
        second.Tell(Events.Started(steps: 4, samples: 40), Events.Step(4, 40), Events.Evaluation(4, 0.25, 0.875), Events.Finished(true, ""));
        cluster.PutPod("digits-coordinator-b", told: second);
        second.BreakOff();
        await second.IsTold.WaitAsync(ClusterFixture.Patience, TestContext.Current.CancellationToken);
        cluster.EndPod("digits-coordinator-b");
        cluster.EndJob();

        var (code, text, error) = await launched;
        Assert.Equal((0, ""), (code, error));
        Assert.Single(text.Split('\n'), l => l.StartsWith("toy: 123 parameters", StringComparison.Ordinal));
        Assert.Contains("\nHalf of it.\n", text, StringComparison.Ordinal);
        Assert.Contains("\nstep 4: validation loss 0.25, accuracy 0.875\n", text, StringComparison.Ordinal);
        Assert.Contains("\nvalidation accuracy  0.875\n", text, StringComparison.Ordinal);
        Assert.Contains("Fetch its folder, with the checkpoints:\n  kubectl --namespace team run digits-fetch --image=", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task For_programs_every_line_is_an_object_and_the_last_the_summary()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        await using var told = await ToldRun.StartAsync();
        var launched = cluster.RunAsync(Launch + " --json");
        await cluster.AppearsAsync("jobs.batch", "digits-coordinator");
        told.Tell(Events.Started(steps: 4, samples: 40), Events.Step(4, 40), Events.Finished(true, ""));
        told.BreakOff();
        cluster.PutPod("digits-coordinator-a", told: told);
        await told.IsTold.WaitAsync(ClusterFixture.Patience, TestContext.Current.CancellationToken);
        cluster.EndPod("digits-coordinator-a");
        cluster.EndJob();

        var (code, text, error) = await launched;
        Assert.Equal((0, ""), (code, error));
        var lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => System.Text.Json.Nodes.JsonNode.Parse(l)!).ToList();
        Assert.Equal(["launched", "started", "step", "summary"], lines.Select(l => (string?)l["event"]));
        Assert.Equal(("finished", 4), ((string?)lines[^1]["status"], (int)lines[^1]["steps"]!));
    }

    [Fact]
    public async Task Where_ports_may_not_be_forwarded_the_log_is_followed()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        cluster.Server.Refuse = request => request.Path.Subresource == "portforward" ? StatusReply.Forbidden("ada", "create", request.Path) : null;
        var launched = cluster.RunAsync(Launch);
        await cluster.AppearsAsync("jobs.batch", "digits-coordinator");

        var log = cluster.PutPod("digits-coordinator-a");
        log.Write("step 1/4 (25 %)");
        await UntilAsync(() => cluster.Server.Requests.Any(r => r.Path.Subresource == "log"));
        log.Write("step 4/4 (100 %)");
        cluster.EndPod("digits-coordinator-a");
        cluster.EndJob();

        var (code, text, error) = await launched;
        Assert.Equal((0, ""), (code, error));
        Assert.Contains("You may not forward a port of pod/digits-coordinator-a in the namespace team: ask its administrator for a role", text, StringComparison.Ordinal);
        Assert.Contains("The coordinator's log is followed instead.\nstep 1/4 (25 %)\nstep 4/4 (100 %)\n", text, StringComparison.Ordinal);
        Assert.Contains("status  finished\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_that_fails_for_good_is_told_with_the_coordinators_last_words()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        var launched = cluster.RunAsync(Launch);
        await cluster.AppearsAsync("jobs.batch", "digits-coordinator");

        cluster.PutPod("digits-coordinator-a", phase: "Failed");
        cluster.Cluster.Change(FakeCluster.PathOf("pods", ClusterFixture.Space, "digits-coordinator-a"), pod => pod["status"]!["containerStatuses"] = System.Text.Json.Nodes.JsonNode.Parse(
            """[{ "name": "coordinator", "image": "x", "imageID": "x", "ready": false, "restartCount": 0, "state": { "terminated": { "exitCode": 2, "message": "error: data.name is 'x': no such data." } } }]"""));
        cluster.EndJob("Failed", "PodFailurePolicy");

        var (code, text, error) = await launched;
        Assert.Equal(1, code);
        Assert.Contains("status  failed\n", text, StringComparison.Ordinal);
        Assert.StartsWith(
            "error: The coordinator ended with exit code 2, and is not started again: another start would not mend it. Its last words: data.name is 'x': no such data. "
            + "Correct that, then delete the run and launch it anew.\n  status digits\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_image_that_can_never_be_pulled_ends_the_following_and_not_the_run()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        var launched = cluster.RunAsync(Launch);
        await cluster.AppearsAsync("jobs.batch", "digits-coordinator");

        cluster.PutPod("digits-coordinator-a", phase: "Pending");
        cluster.Cluster.Change(FakeCluster.PathOf("pods", ClusterFixture.Space, "digits-coordinator-a"), pod => pod["status"]!["containerStatuses"] = System.Text.Json.Nodes.JsonNode.Parse(
            """[{ "name": "coordinator", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": { "waiting": { "reason": "ErrImageNeverPull" } } }]"""));

        var (code, _, error) = await launched;
        Assert.Equal(1, code);
        Assert.Contains("error: pod/digits-coordinator-a: The image x is not on the node, and the pod says never to pull it", error, StringComparison.Ordinal);
        Assert.NotNull(cluster.Find("jobs.batch", "digits-coordinator"));
    }

    [Fact]
    public async Task A_coordinator_that_never_starts_is_waited_for_so_long_and_no_longer()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        var (code, _, error) = await cluster.RunAsync(Launch + " --start-timeout 1s");
        Assert.Equal(1, code);
        Assert.StartsWith("error: No coordinator has run within 1s. The cluster does not say why. The run is left as it is.\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_that_is_deleted_meanwhile_is_told()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        var launched = cluster.RunAsync(Launch);
        await cluster.AppearsAsync("deployments.apps", "digits-worker");
        cluster.Cluster.Delete(FakeCluster.PathOf("jobs.batch", ClusterFixture.Space, "digits-coordinator"));
        var (code, _, error) = await launched;
        Assert.Equal(1, code);
        Assert.StartsWith("error: The run digits was deleted from the namespace team.\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_stops_following_is_told_how_to_come_back_and_the_run_goes_on()
    {
        await using var cluster = await ClusterFixture.StartAsync();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var (output, error) = (new StringWriter(), new StringWriter());
        var launched = Cli.AppOf(Scenario.Good, output, error, Launch.Split(' '), cluster.Environment).RunAsync(stop.Token);
        await cluster.AppearsAsync("deployments.apps", "digits-worker");
        cluster.PutPod("digits-coordinator-a");
        await UntilAsync(() => cluster.Server.Requests.Any(r => r.Path.Subresource == "portforward"));
        await stop.CancelAsync();

        Assert.Equal(0, await launched.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));
        Assert.Equal(
            "Not followed any more; the run digits goes on in the namespace team.\n  status digits\n  logs digits --follow\n  scale digits --workers N\n  delete digits\n", error.ToString());
        Assert.NotNull(cluster.Find("jobs.batch", "digits-coordinator"));
    }

    /// <summary>Waits for something that a request brings about.</summary>
    private static async Task UntilAsync(Func<bool> holds)
    {
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        using var late = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        late.CancelAfter(TimeSpan.FromSeconds(50));
        while (!holds())
        {
            await tick.WaitForNextTickAsync(late.Token);
        }
    }
}
