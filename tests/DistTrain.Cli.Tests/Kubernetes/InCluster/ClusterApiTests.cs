using DistTrain.Core.Membership;
using DistTrain.Kubernetes.InCluster;
using DistTrain.TestKit.Kubernetes;

namespace DistTrain.Cli.Tests.Kubernetes.InCluster;

/// <summary>What a pod of a run asks of its cluster, with no more rights than it has.</summary>
public sealed class ClusterApiTests : IAsyncLifetime
{
    private TestCluster _cluster = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _cluster = await TestCluster.StartAsync();

    public ValueTask DisposeAsync() => _cluster.DisposeAsync();

    [Fact]
    public async Task The_workers_are_set_to_none_by_a_patch_of_the_scale()
    {
        using var api = Open();
        Assert.Equal((true, "Deployment disttrain-worker was set to 0 workers."), await ScaleDown.RunAsync(api, TestCluster.Deployment, TimeProvider.System, Token));
        Assert.Equal(0, _cluster.Replicas);
        Assert.Equal(["patch deployments.apps/scale training/disttrain-worker"], _cluster.Requests);
    }

    [Fact]
    public async Task A_server_that_fails_is_asked_again()
    {
        var refusals = 0;
        _cluster.Refuse = _ => refusals++ == 0 ? new StatusReply(503, "ServiceUnavailable", "not yet") : null;
        using var api = Open();
        Assert.True((await ScaleDown.RunAsync(api, TestCluster.Deployment, TimeProvider.System, Token)).IsDone);
        Assert.Equal((0, 2), (_cluster.Replicas, _cluster.Requests.Count));
    }

    [Fact]
    public async Task A_right_that_is_missing_is_said_at_once_with_what_to_do()
    {
        using var api = Open();
        var (isDone, sentence) = await ScaleDown.RunAsync(api, "other", TimeProvider.System, Token);
        Assert.False(isDone);
        Assert.Equal(
            "This pod's service account may not scale Deployment other in training: see its Role. "
            + "Its workers hold what they have until 'kubectl scale deployment/other --replicas=0'.",
            sentence);
        Assert.Single(_cluster.Requests);
    }

    [Fact]
    public async Task A_Deployment_that_is_not_there_holds_nothing()
    {
        _cluster.Refuse = r => StatusReply.NotFound(r.Path);
        using var api = Open();
        Assert.True((await ScaleDown.RunAsync(api, TestCluster.Deployment, TimeProvider.System, Token)).IsDone);
    }

    [Fact]
    public async Task The_state_of_a_Job_is_read_from_its_conditions()
    {
        using var api = Open();
        Assert.Equal(JobState.Gone, await api.JobAsync(TestCluster.Job, Token));
        foreach (var (condition, state) in new[]
        {
            (null, JobState.Open), ("Suspended", JobState.Open), ("FailureTarget", JobState.Open), ("Complete", JobState.Complete), ("Failed", JobState.Failed),
        })
        {
            _cluster.PutJob(condition);
            Assert.Equal(state, await api.JobAsync(TestCluster.Job, Token));
        }
    }

    [Fact]
    public async Task A_refusal_is_an_Event_of_the_own_pod()
    {
        await new WorkerPod(_cluster.Surroundings with { Environment = _cluster.Environment }).TellRefusalAsync("It computes other bits.");
        var happened = Assert.Single(_cluster.Events);
        Assert.Equal(("Warning", "HostRefused", "It computes other bits."), ((string)happened["type"]!, (string)happened["reason"]!, (string)happened["message"]!));
        var pod = happened["involvedObject"]!;
        Assert.Equal(("Pod", "disttrain-worker-1", "training", "0f3f"), ((string)pod["kind"]!, (string)pod["name"]!, (string)pod["namespace"]!, (string)pod["uid"]!));
    }

    [Fact]
    public async Task A_worker_that_is_in_no_pod_has_nobody_to_tell()
    {
        await new WorkerPod(_cluster.Surroundings).TellRefusalAsync("It computes other bits.");
        Assert.Equal("", $"{_cluster.Surroundings.Error}");
        Assert.Empty(_cluster.Requests);
    }

    private ClusterApi Open() => ClusterApi.Open(_cluster.Environment, Timeouts.Default, TimeProvider.System);
}
