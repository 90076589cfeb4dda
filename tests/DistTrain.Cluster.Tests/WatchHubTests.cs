using DistTrain.Coordinator;
using DistTrain.Protocol.V1;

namespace DistTrain.Cluster.Tests;

public sealed class WatchHubTests
{
    [Fact]
    public async Task A_late_watcher_is_told_the_newest_state_first_and_then_every_change()
    {
        var hub = new WatchHub();
        hub.Publish(new RunEvent { Started = new RunStarted { Name = "r" } });
        hub.Publish(Step(1));
        hub.Publish(Step(2));
        hub.Publish(new RunEvent { Happening = new Happening { Name = "join" } });
        await using var watcher = hub.WatchAsync(CancellationToken.None).GetAsyncEnumerator(TestContext.Current.CancellationToken);
        Assert.Equal("r", (await NextAsync(watcher)).Started.Name);
        Assert.Equal(2, (await NextAsync(watcher)).Step.Step);
        Assert.Equal("join", (await NextAsync(watcher)).Happening.Name);
        hub.Publish(Step(3));
        Assert.Equal(3, (await NextAsync(watcher)).Step.Step);
        hub.Publish(End());
        Assert.Equal(RunEvent.BodyOneofCase.Finished, (await NextAsync(watcher)).BodyCase);
        Assert.False(await watcher.MoveNextAsync());
    }

    [Fact]
    public async Task A_watcher_that_comes_after_the_end_is_told_how_it_ended()
    {
        var hub = new WatchHub();
        hub.Publish(Step(7));
        hub.Publish(End());
        var seen = await AllAsync(hub);
        Assert.Equal([RunEvent.BodyOneofCase.Step, RunEvent.BodyOneofCase.Finished], seen.Select(e => e.BodyCase));
    }

    [Fact]
    public async Task A_slow_watcher_loses_old_steps_and_never_the_end()
    {
        var hub = new WatchHub();
        await using var watcher = hub.WatchAsync(CancellationToken.None).GetAsyncEnumerator(TestContext.Current.CancellationToken);
        var first = NextAsync(watcher);
        hub.Publish(Step(1));
        Assert.Equal(1, (await first).Step.Step);
        for (var step = 2; step <= 5000; step++)
        {
            hub.Publish(Step(step));
        }

        hub.Publish(End());
        var seen = new List<RunEvent>();
        while (await watcher.MoveNextAsync())
        {
            seen.Add(watcher.Current);
        }

        Assert.Equal(RunEvent.BodyOneofCase.Finished, seen[^1].BodyCase);
        Assert.Equal(5000, seen[^2].Step.Step);
        Assert.InRange(seen.Count, 100, 2000);
    }

    [Fact]
    public async Task Many_watchers_see_the_same_and_one_that_leaves_disturbs_nobody()
    {
        var hub = new WatchHub();
        hub.Publish(Step(1));
        var watchers = Enumerable.Range(0, 5).Select(_ => hub.WatchAsync(TestContext.Current.CancellationToken).GetAsyncEnumerator()).ToList();
        foreach (var watcher in watchers)
        {
            await NextAsync(watcher);
        }

        await watchers[2].DisposeAsync();
        watchers.RemoveAt(2);
        hub.Publish(Step(2));
        hub.Publish(End());
        foreach (var watcher in watchers)
        {
            Assert.Equal(2, (await NextAsync(watcher)).Step.Step);
            Assert.Equal(RunEvent.BodyOneofCase.Finished, (await NextAsync(watcher)).BodyCase);
            await watcher.DisposeAsync();
        }
    }

    private static RunEvent Step(long step) => new() { Step = new StepDone { Step = step } };

    private static RunEvent End() => new() { Finished = new RunFinished { Success = true, Sentence = "Completed 1 steps." } };

    private static async Task<RunEvent> NextAsync(IAsyncEnumerator<RunEvent> watcher) =>
        await watcher.MoveNextAsync() ? watcher.Current : throw new InvalidOperationException("The watch is over.");

    private static async Task<List<RunEvent>> AllAsync(WatchHub hub)
    {
        var seen = new List<RunEvent>();
        await foreach (var happened in hub.WatchAsync(TestContext.Current.CancellationToken))
        {
            seen.Add(happened);
        }

        return seen;
    }
}
