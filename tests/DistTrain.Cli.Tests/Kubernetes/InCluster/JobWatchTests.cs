using DistTrain.Core.Membership;
using DistTrain.Kubernetes.InCluster;
using Microsoft.Extensions.Time.Testing;

namespace DistTrain.Cli.Tests.Kubernetes.InCluster;

/// <summary>A worker whose coordinator is gone for good frees what all of them hold; one whose coordinator may come again does nothing.</summary>
public sealed class JobWatchTests : IAsyncLifetime
{
    private static readonly TimeSpan Every = Timeouts.Default.ClusterQuestion;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private readonly FakeTimeProvider _time = new();
    private readonly TaskCompletionSource<string> _said = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _over = new();
    private TestCluster _cluster = null!;
    private ClusterApi _api = null!;
    private Task _watching = Task.CompletedTask;
    private TimeSpan? _absence = TimeSpan.FromHours(1);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _cluster = await TestCluster.StartAsync();
        _api = ClusterApi.Open(_cluster.Environment, Timeouts.Default, TimeProvider.System);
        var watch = new JobWatch(_api, TestCluster.Job, TestCluster.Deployment, () => _absence, s => _said.TrySetResult(s), _time);
        _watching = watch.RunAsync(Every, _over.Token);
    }

    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await _watching.WaitAsync(Deadline, Token);
        _api.Dispose();
        await _cluster.DisposeAsync();
        _over.Dispose();
    }

    [Theory]
    [InlineData("Complete")]
    [InlineData("Failed")]
    public async Task A_Job_that_is_over_has_no_workers(string condition)
    {
        _cluster.PutJob(condition);
        _time.Advance(Every);
        Assert.Equal(
            $"Job disttrain-coordinator is {condition.ToLowerInvariant()}, and no coordinator comes. Deployment disttrain-worker was set to 0 workers.",
            await _said.Task.WaitAsync(Deadline, Token));
        Assert.Equal(0, _cluster.Replicas);
    }

    [Fact]
    public async Task A_Job_that_is_gone_may_be_about_to_come_and_is_given_a_minute()
    {
        await AskAsync();
        await AskAsync();
        Assert.Equal(2, _cluster.Replicas);
        await AskAsync();
        Assert.StartsWith("Job disttrain-coordinator is gone, ", await _said.Task.WaitAsync(Deadline, Token), StringComparison.Ordinal);
        Assert.Equal(0, _cluster.Replicas);
    }

    [Fact]
    public async Task A_Job_that_may_start_its_pod_again_keeps_its_workers_and_one_that_comes_late_too()
    {
        await AskAsync();
        await AskAsync();
        _cluster.PutJob(condition: null);
        for (var time = 0; time < 5; time++)
        {
            await AskAsync();
        }

        Assert.Equal(2, _cluster.Replicas);
        Assert.DoesNotContain(_cluster.Requests, r => r.StartsWith("patch", StringComparison.Ordinal));
    }

    [Fact]
    public async Task While_there_is_a_coordinator_nobody_is_asked()
    {
        _cluster.PutJob("Complete");
        foreach (var absence in new TimeSpan?[] { null, TimeSpan.Zero, Every - TimeSpan.FromSeconds(1) })
        {
            _absence = absence;
            _time.Advance(Every);
        }

        _absence = Every;
        _time.Advance(Every);
        await _said.Task.WaitAsync(Deadline, Token);
        Assert.Equal(1, _cluster.Requests.Count(r => r.StartsWith("get", StringComparison.Ordinal)));
    }

    private async Task AskAsync()
    {
        _time.Advance(Every);
        Assert.True(await _cluster.Asked.WaitAsync(Deadline, Token), "The cluster was not asked.");
    }
}
