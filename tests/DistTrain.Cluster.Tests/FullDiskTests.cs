using DistTrain.TestKit;

namespace DistTrain.Cluster.Tests;

/// <summary>A disk that is full does not end a run: it trains on, says so, and writes down what it can when there is room again.</summary>
public sealed class FullDiskTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(90);
    private static readonly string[] Run = ["batch.micro=2", "stop.epochs=0", "stop.steps=60", "evaluate.everySteps=20", "checkpoint.everySteps=10"];
    private readonly TemporaryFolder _folder = new();
    private readonly FullDisk _disk = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_run_outlives_a_full_disk_and_lacks_no_line()
    {
        await using var coordinator = await StartAsync("run", "debug.delayPerMicroBatch.0=1ms");
        var worker = coordinator.StartWorker(coordinator.Worker(0));
        var told = coordinator.HappenedAsync("disk-full", "or let the folder be written.");
        await coordinator.StepAsync(5);
        _disk.Fill(_ => true);
        await told;
        await coordinator.HappenedAsync("checkpoint-failed", $"{FullDisk.Message}.");
        _disk.Fill(_ => false);
        var run = await coordinator.EndAsync([worker]).WaitAsync(Soon, TestContext.Current.CancellationToken);

        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Equal(Enumerable.Range(1, 60).Select(n => (long)n), run.Metrics.Select(m => m.GetProperty("step").GetInt64()));
        var undisturbed = await LocalCluster.RunAsync(_folder.At("undisturbed"), LocalCluster.Options([.. Run, "workers=1"]));
        Assert.Equal(undisturbed.Hashes, run.Hashes);
        Assert.Equal(60, run.Lines("workers.jsonl").Count(l => l.GetProperty("kind").GetString() == "train"));
        var events = run.Lines("events.jsonl").Select(e => e.GetProperty("event").GetString()).ToList();
        Assert.Equal((1, 1), (events.Count(e => e == "disk-full"), events.Count(e => e == "disk-back")));
        var failures = run.Summary.GetProperty("failures").EnumerateArray().ToDictionary(f => f.GetProperty("what").GetString()!);
        Assert.Contains($".jsonl cannot be written: {FullDisk.Message}. Training goes on", failures["disk-full"].GetProperty("sentence").GetString());
        Assert.Contains(FullDisk.Message, failures["checkpoint-failed"].GetProperty("sentence").GetString());
        Assert.Empty(Directory.GetFileSystemEntries(run.Folder, "*.tmp", SearchOption.AllDirectories));
        Assert.True(Directory.Exists(Path.Combine(run.Folder, "checkpoints", "step-00000060")));
    }

    [Fact]
    public async Task Lines_that_never_find_room_are_named_in_the_summary()
    {
        await using var coordinator = await StartAsync("run", "failureDetection=2s");
        _disk.Fill(path => path.EndsWith("workers.jsonl", StringComparison.Ordinal));
        var run = await coordinator.EndAsync([coordinator.StartWorker(coordinator.Worker(0))]).WaitAsync(Soon, TestContext.Current.CancellationToken);

        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Equal(60, run.Metrics.Count);
        Assert.Contains(run.Summary.GetProperty("failures").EnumerateArray(), f => f.GetProperty("what").GetString() == "lines-lost"
            && f.GetProperty("sentence").GetString()!.EndsWith($" lines of workers.jsonl in {run.Folder} could not be written and are lost.", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_run_that_can_leave_no_summary_has_failed_and_says_where()
    {
        await using var coordinator = await StartAsync("run", "failureDetection=2s");
        _disk.Fill(path => path.EndsWith("summary.json.tmp", StringComparison.Ordinal));
        var run = await coordinator.EndAsync([coordinator.StartWorker(coordinator.Worker(0))]).WaitAsync(Soon, TestContext.Current.CancellationToken);

        Assert.Equal(
            (false, $"Completed 60 steps. {Path.Combine(run.Folder, "summary.json")} cannot be written: {FullDisk.Message}: make room, or let the folder be written."),
            (run.Coordinator.Success, run.Coordinator.Sentence));
        Assert.True(run.Workers[0].Success);
        Assert.Empty(Directory.GetFiles(run.Folder, "summary.*"));
    }

    [Fact]
    public async Task Steps_do_not_wait_for_a_slow_disk_and_a_checkpoint_that_falls_due_meanwhile_is_given_up()
    {
        await using var coordinator = await StartAsync("run", "debug.delayPerMicroBatch.0=1ms");
        _disk.Hold(path => path.Contains("step-00000010", StringComparison.Ordinal));
        var worker = coordinator.StartWorker(coordinator.Worker(0));
        await _disk.Waiting.Task.WaitAsync(Soon, TestContext.Current.CancellationToken);
        await coordinator.HappenedAsync("checkpoint-failed", "its log says which.");
        await coordinator.StepAsync(25);
        _disk.Release();
        var run = await coordinator.EndAsync([worker]).WaitAsync(Soon, TestContext.Current.CancellationToken);

        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Contains(run.Summary.GetProperty("failures").EnumerateArray(), f => f.GetProperty("sentence").GetString()!
            .StartsWith("The checkpoint of step 20 was not written: The checkpoint is refused: its writer gave it up", StringComparison.Ordinal));
        Assert.True(Directory.Exists(Path.Combine(run.Folder, "checkpoints", "step-00000060")));
        Assert.Empty(Directory.GetFileSystemEntries(run.Folder, "*.tmp", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task Micro_batches_are_not_halved_where_the_journal_cannot_be_told()
    {
        await using var coordinator = await StartAsync("run", "debug.delayPerMicroBatch.0=1ms");
        var worker = coordinator.StartWorker(coordinator.Worker(0));
        await coordinator.StepAsync(5);
        _disk.Fill(path => path.EndsWith("journal.jsonl", StringComparison.Ordinal));
        var run = await coordinator.EndAsync([worker, coordinator.StartWorker(coordinator.Worker(1) with { WasKilledForMemory = true })])
            .WaitAsync(Soon, TestContext.Current.CancellationToken);

        Assert.False(run.Coordinator.Success);
        Assert.Contains($"and the journal cannot be told of smaller ones: {FullDisk.Message}. Make room, or let the folder be written: --resume", run.Coordinator.Sentence);
        Assert.All(run.Metrics, m => Assert.Equal(2, m.GetProperty("microBatch").GetInt32()));
    }

    private Task<LocalCoordinator> StartAsync(string name, params string[] settings) => LocalCoordinator.StartAsync(
        _folder.At(name), LocalCluster.Options([.. Run, "workers=1", .. settings]), s => s with { Disk = _disk });
}
