using System.Net;
using System.Net.Sockets;
using DistTrain.Core;
using DistTrain.TestKit;

namespace DistTrain.Cluster.Tests;

/// <summary>Promises P2 and P3 while workers come and go: every step is there once, with the hash that a single worker's undisturbed run has.</summary>
public sealed class ElasticTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(90);
    private static readonly string[] Run = ["batch.global=50", "batch.micro=2", "stop.epochs=0", "stop.steps=60", "evaluate.everySteps=20", "checkpoint.everySteps=10"];
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Workers_that_vanish_cost_no_step()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options([.. Run, "workers=4", Slow]));
        await using var first = new Relay(coordinator.Address);
        await using var second = new Relay(coordinator.Address);
        Uri[] ways = [first.Address, coordinator.Address, second.Address, coordinator.Address];
        var workers = ways.Select((way, n) => coordinator.StartWorker(coordinator.Worker(n) with { Coordinator = way, Patience = TimeSpan.FromSeconds(1) })).ToList();
        await coordinator.StepAsync(5);
        first.Cut();
        await coordinator.StepAsync(25);
        second.Cut();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.Equal([false, true, false, true], run.Workers.Select(w => w.Success));
        Assert.Equal(2, run.Lines("events.jsonl").Count(e => e.GetProperty("event").GetString() == "lost"));
        Assert.Equal((2, 4, 2), Counts(run));
    }

    [Fact]
    public async Task A_worker_that_falls_silent_is_left_behind_and_comes_back()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "workers=2", "failureDetection=3s", Slow]));
        await using var relay = new Relay(coordinator.Address);
        var workers = new[] { coordinator.Address, relay.Address }
            .Select((way, n) => coordinator.StartWorker(coordinator.Worker(n) with { Coordinator = way, Patience = TimeSpan.FromSeconds(1) })).ToList();
        await coordinator.StepAsync(5);
        relay.Silence(Side.Dialer);
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.Contains(run.Lines("events.jsonl"), e => e.GetProperty("sentence").GetString()!.EndsWith("was lost: it was silent for 3s.", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_worker_that_lives_but_gets_stuck_is_left_behind()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "workers=2", "failureDetection=3s", Slow]));
        using var gate = new StuckTask.Gate(at: 150, Soon);
        var workers = new List<Task<RunOutcome>>
        {
            coordinator.StartWorker(coordinator.Worker(0)),
            coordinator.StartWorker(coordinator.Worker(1) with { Tasks = StuckTask.Catalog(gate), Patience = TimeSpan.FromSeconds(1) }),
        };
        await coordinator.HappenedAsync("lost", "was lost: it made no progress for 3s.");
        gate.Release();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        var lost = Assert.Single(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "lost");
        Assert.StartsWith("Worker 1 ", lost.GetProperty("sentence").GetString());
    }

    [Fact]
    public async Task Blocks_move_away_from_a_slow_worker_and_the_bits_stay()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "workers=2", "debug.delayPerMicroBatch.0=20ms", "debug.delayPerMicroBatch.1=5ms"]));
        var workers = Enumerable.Range(0, 2).Select(n => coordinator.StartWorker(coordinator.Worker(n))).ToList();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.True(run.Lines("plans.jsonl").Count > 1);
        Assert.Equal(1, run.Lines("plans.jsonl")[1].GetProperty("generation").GetInt32());
        var blocks = run.Lines("workers.jsonl").Where(w => w.GetProperty("kind").GetString() == "train")
            .ToLookup(w => w.GetProperty("step").GetInt64(), w => w.GetProperty("blocks").GetInt32());
        Assert.InRange(blocks[1].First(), 12, 13);

        // What a step measures is the machine's; over all of them the slow worker has much less to do.
        Assert.Contains(blocks.Where(step => step.Key >= 4), step => step.First() <= 10);
        Assert.True(blocks.Sum(step => step.First()) < blocks.Sum(step => step.Last()));
    }

    [Fact]
    public async Task The_only_worker_that_falls_silent_comes_back_with_its_state()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "workers=1", "failureDetection=2s", "checkpoint.everySteps=0", Slow]));
        await using var relay = new Relay(coordinator.Address);
        var worker = coordinator.StartWorker(coordinator.Worker(0) with { Coordinator = relay.Address });
        await coordinator.StepAsync(5);
        relay.Silence(Side.Dialer);
        await coordinator.HappenedAsync("waiting", "");
        relay.Silence(Side.Neither);
        var run = await coordinator.EndAsync([worker]).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.Contains(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "resumed");
        Assert.DoesNotContain(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "rollback");
    }

    /// <summary>Also where betas and rate follow a batch that grows at step 31: who joins follows with the numbers of each step.</summary>
    [Theory]
    [InlineData]
    [InlineData("optimizer.name=adam", "optimizer.learningRate=0.01", "optimizer.beta1=0.95", "schedule.scaling=sqrt", "schedule.referenceBatch=25",
        "batch.schedule.name=stages", "batch.schedule.stages.30 steps=80")]
    public async Task Workers_join_a_run_that_trains(params string[] settings)
    {
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options([.. Run, .. settings, "workers=1", Slow]));
        var workers = new List<Task<RunOutcome>> { coordinator.StartWorker(coordinator.Worker(0)) };
        await coordinator.StepAsync(5);
        workers.Add(coordinator.StartWorker(coordinator.Worker(1)));
        workers.Add(coordinator.StartWorker(coordinator.Worker(2)));
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run, settings);
        Assert.All(run.Workers, w => Assert.True(w.Success, w.Sentence));
        Assert.Equal((1, 3, 3), Counts(run));
        Assert.Equal(3, run.Metrics[^1].GetProperty("worldSize").GetInt32());
    }

    [Fact]
    public async Task Workers_leave_in_order()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options([.. Run, "workers=3", Slow]));
        using var asked = new CancellationTokenSource();
        var workers = Enumerable.Range(0, 3)
            .Select(n => coordinator.StartWorker(coordinator.Worker(n), n == 1 ? asked.Token : CancellationToken.None)).ToList();
        await coordinator.StepAsync(5);
        await asked.CancelAsync();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.All(run.Workers, w => Assert.True(w.Success, w.Sentence));
        Assert.Equal("It left as it asked to.", run.Workers[1].Sentence);
        Assert.Equal((2, 3, 2), Counts(run));
        Assert.DoesNotContain(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "lost");
    }

    [Fact]
    public async Task When_all_vanish_the_run_goes_back_to_its_checkpoint_and_computes_the_same_bits_again()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "workers=2", "failureDetection=2s", Slow]));
        await using var relay = new Relay(coordinator.Address);
        var workers = Enumerable.Range(0, 2)
            .Select(n => coordinator.StartWorker(coordinator.Worker(n) with { Coordinator = relay.Address, Patience = TimeSpan.FromSeconds(1) })).ToList();
        await coordinator.StepAsync(15);
        relay.Cut();
        await Task.WhenAll(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);
        workers.Add(coordinator.StartWorker(coordinator.Worker(7)));
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.Contains(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "rollback");
    }

    [Fact]
    public async Task The_last_worker_to_leave_writes_its_state_and_another_goes_on_from_there()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "workers=1", "checkpoint.everySteps=0", "failureDetection=2s", Slow]));
        using var asked = new CancellationTokenSource();
        var workers = new List<Task<RunOutcome>> { coordinator.StartWorker(coordinator.Worker(0), asked.Token) };
        await coordinator.StepAsync(7);
        await asked.CancelAsync();
        Assert.True((await workers[0].WaitAsync(Soon, TestContext.Current.CancellationToken)).Success);
        workers.Add(coordinator.StartWorker(coordinator.Worker(1)));
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.Equal(60, run.Metrics.Count);
        Assert.Contains(run.Lines("events.jsonl"), e => e.GetProperty("sentence").GetString()!.StartsWith("The run goes on from checkpoint ", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("grpc")]
    public async Task A_link_that_breaks_between_two_workers_is_made_anew(string transport)
    {
        await using var coordinator = await LocalCoordinator.StartAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "workers=2", "failureDetection=2s", $"transport={transport}", Slow]));
        var port = FreePort();
        await using var relay = new Relay(new Uri($"http://127.0.0.1:{port}"));
        var workers = new List<Task<RunOutcome>>
        {
            coordinator.StartWorker(coordinator.Worker(0)),
            coordinator.StartWorker(coordinator.Worker(1) with { Listen = $"127.0.0.1:{port}", Advertise = relay.Address.Authority }),
        };
        await coordinator.StepAsync(5);
        relay.Reset();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.All(run.Workers, w => Assert.True(w.Success, w.Sentence));
        Assert.Equal((2, 2, 2), Counts(run));
        Assert.Contains(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "link-broke");
        Assert.DoesNotContain(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "lost");
    }

    [Fact]
    public async Task Of_two_workers_that_do_not_reach_each_other_the_newer_goes()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(
            _folder.At("run"), LocalCluster.Options([.. Run, "workers=1", "failureDetection=2s", "transport=tcp", Slow]));
        var port = FreePort();
        await using var relay = new Relay(new Uri($"http://127.0.0.1:{port}"));
        using var asked = new CancellationTokenSource();
        var workers = new List<Task<RunOutcome>> { coordinator.StartWorker(coordinator.Worker(0)) };
        await coordinator.StepAsync(2);
        workers.Add(coordinator.StartWorker(
            coordinator.Worker(1) with { Listen = $"127.0.0.1:{port}", Advertise = relay.Address.Authority }, asked.Token));
        await coordinator.HappenedAsync("generation", "Generation 2: 2 workers.");
        relay.Cut();
        await coordinator.HappenedAsync("lost", "");
        await asked.CancelAsync();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.Contains(
            run.Lines("events.jsonl"), e => e.GetProperty("sentence").GetString()!.EndsWith("was lost: the link between it and Worker 0 is broken.", StringComparison.Ordinal));
    }

    /// <summary>The next change goes out from one that it was not told: it joins anew, and is told all.</summary>
    [Fact]
    public async Task A_worker_that_has_missed_a_change_of_the_members_asks_for_all_of_them()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options([.. Run, "workers=4", Slow]));
        await using var first = new Relay(coordinator.Address);
        await using var second = new Relay(coordinator.Address);
        await using var door = await ForgetfulDoor.OpenAsync(coordinator.Address, TestContext.Current.CancellationToken);
        Uri[] ways = [coordinator.Address, first.Address, door.Address, second.Address];
        var workers = ways.Select((way, n) => coordinator.StartWorker(coordinator.Worker(n) with { Coordinator = way, Patience = TimeSpan.FromSeconds(1) })).ToList();
        await coordinator.StepAsync(5);
        first.Cut();
        await door.Forgot.WaitAsync(Soon, TestContext.Current.CancellationToken);
        second.Cut();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.Equal([true, false, true, false], run.Workers.Select(w => w.Success));
        Assert.Equal((1, 4, 2), Counts(run));
        Assert.Contains(coordinator.Log.Entries, e => e.Text ==
            "Told what changed since generation 2, this worker knows the members of 1: it asks for all. Joining anew.");
    }

    [Fact]
    public async Task Workers_come_and_go_at_once()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options([.. Run, "workers=4", "debug.delayPerMicroBatch.3=4ms"]));
        await using var relay = new Relay(coordinator.Address);
        using var asked = new CancellationTokenSource();
        var workers = new List<Task<RunOutcome>>
        {
            coordinator.StartWorker(coordinator.Worker(0), asked.Token),
            coordinator.StartWorker(coordinator.Worker(1) with { Coordinator = relay.Address, Patience = TimeSpan.FromSeconds(1) }),
            coordinator.StartWorker(coordinator.Worker(2) with { Coordinator = relay.Address, Patience = TimeSpan.FromSeconds(1) }),
            coordinator.StartWorker(coordinator.Worker(3)),
        };
        await coordinator.StepAsync(5);
        workers.Add(coordinator.StartWorker(coordinator.Worker(4)));
        await coordinator.HappenedAsync("join", "");
        await asked.CancelAsync();
        relay.Cut();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);

        await SameAsUndisturbedAsync(run);
        Assert.Equal([true, false, false, true, true], run.Workers.Select(w => w.Success));
        Assert.Equal(2, Counts(run).Final);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static string Slow => "debug.delayPerMicroBatch.0=2ms";

    private static (int Min, int Max, int Final) Counts(ClusterRun run)
    {
        var workers = run.Summary.GetProperty("workers");
        return (workers.GetProperty("min").GetInt32(), workers.GetProperty("max").GetInt32(), workers.GetProperty("final").GetInt32());
    }

    private async Task SameAsUndisturbedAsync(ClusterRun run, params string[] settings)
    {
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        var undisturbed = await LocalCluster.RunAsync(_folder.At("undisturbed"), LocalCluster.Options([.. Run, .. settings, "workers=1"]));
        Assert.Equal(Lineage(undisturbed), Lineage(run));
        Assert.Equal(60, Lineage(run).Count);
        Assert.Equal(undisturbed.Summary.GetProperty("weightsSha256").GetString(), run.Summary.GetProperty("weightsSha256").GetString());
    }

    /// <summary>The hash after every step: of a step that was computed again, the last line counts.</summary>
    private static SortedDictionary<long, string> Lineage(ClusterRun run)
    {
        var lineage = new SortedDictionary<long, string>();
        foreach (var step in run.Metrics)
        {
            lineage[step.GetProperty("step").GetInt64()] = step.GetProperty("weightsHash").GetString()!;
        }

        return lineage;
    }
}
