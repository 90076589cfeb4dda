using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using DistTrain.Coordinator;
using DistTrain.Core;
using DistTrain.TestKit;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using Microsoft.Extensions.Logging;

namespace DistTrain.Cluster.Tests;

/// <summary>
/// However a run fails, everyone who can still speak ends soon, unsuccessfully, and with the sentence that names the cause.
/// </summary>
public sealed class FailureTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_coordinator_that_falls_silent_is_left_and_sought_anew_for_a_bounded_time()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LongRun("workers=1", "failureDetection=3s"));
        await using var relay = new Relay(coordinator.Address);
        var worker = coordinator.StartWorker(coordinator.Worker(0) with { Coordinator = relay.Address, Patience = Patience });
        await coordinator.StepAsync(3);
        relay.Silence(Side.Target);
        var outcome = await worker.WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.StartsWith($"The coordinator at {relay.Address} was not reached within 1s", outcome.Sentence);
        Assert.Contains(coordinator.Log.Entries, e => e.Text == $"The coordinator at {relay.Address} was silent for 3s. Joining anew.");
    }

    [Fact]
    public async Task A_coordinator_that_vanishes_is_sought_for_a_bounded_time()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LongRun("workers=2"));
        await using var relay = new Relay(coordinator.Address);
        var workers = Enumerable.Range(0, 2)
            .Select(n => coordinator.StartWorker(coordinator.Worker(n) with { Coordinator = relay.Address, Patience = Patience }))
            .ToList();
        await coordinator.StepAsync(2);
        relay.Cut();
        var outcomes = await Task.WhenAll(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.All(outcomes, o => Assert.StartsWith($"The coordinator at {relay.Address} was not reached within 1s", o.Sentence));
    }

    [Fact]
    public async Task A_coordinator_that_is_asked_to_end_dismisses_every_worker()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LongRun("workers=2"));
        var workers = Enumerable.Range(0, 2).Select(n => coordinator.StartWorker(coordinator.Worker(n), CancellationToken.None)).ToList();
        await coordinator.StepAsync(2);
        coordinator.Stop();
        var outcome = await coordinator.Outcome.WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.Equal((true, RunStatus.Stopped), (outcome.Success, outcome.Status));
        Assert.Matches("^Stopped after step [0-9]+, as it was asked to: --resume goes on from there\\.$", outcome.Sentence);
        Assert.All(await Task.WhenAll(workers), o => Assert.Equal(outcome.Sentence, o.Sentence));
    }

    [Fact]
    public async Task A_loss_that_throws_fails_the_run_with_its_own_words()
    {
        // 43 samples in micro-batches of at most 4: one of them has 3, the probe has 4.
        var tasks = FaultyTask.Catalog((loss, batch) => batch.Targets.shape[0] == 3
            ? throw new InvalidOperationException("The tokenizer of page 7 is missing.")
            : loss);
        var run = await LocalCluster.RunAsync(_folder.At("run"), LocalCluster.Options("workers=2", "batch.global=43", "batch.micro=4"), tasks: tasks)
            .WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.Matches("^Worker [01] cannot go on: The tokenizer of page 7 is missing\\.$", run.Coordinator.Sentence);
        Assert.All(run.Workers, w => Assert.Contains("The tokenizer of page 7 is missing.", w.Sentence));
        Failed(run, run.Coordinator.Sentence);
        Assert.All(run.Log.Errors, e => Assert.Equal("failed", e.Event));
    }

    [Fact]
    public async Task A_task_that_cannot_be_created_fails_the_run_with_its_own_words()
    {
        var tasks = new TaskCatalog().Add<PatternModel, PatternData>("pattern", _ => throw new FileNotFoundException("words.txt is not there."));
        var run = await LocalCluster.RunAsync(_folder.At("run"), LocalCluster.Options("workers=1"), tasks: tasks)
            .WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.Equal("Worker 0 cannot go on: The task pattern cannot be created: words.txt is not there.", run.Coordinator.Sentence);
        Failed(run, run.Coordinator.Sentence);
    }

    [Fact]
    public async Task Twenty_skipped_steps_in_a_row_fail_the_run()
    {
        var tasks = FaultyTask.Catalog((loss, _) => loss with { Sum = loss.Sum * double.NaN });
        var run = await LocalCluster.RunAsync(_folder.At("run"), LocalCluster.Options("workers=2", "stop.steps=100", "stop.epochs=0"), tasks: tasks);
        Assert.Equal(
            "The gradients of 20 steps in a row were not finite, the last at step 20: lower optimizer.learningRate or set clip.globalNorm.",
            run.Coordinator.Sentence);
        Failed(run, run.Coordinator.Sentence);
        Assert.Equal(20, run.Metrics.Count);
        Assert.All(run.Metrics, m => Assert.True(m.GetProperty("skipped").GetBoolean()));
        Assert.All(run.Metrics, m => Assert.Equal(JsonValueKind.Null, m.GetProperty("loss").ValueKind));
        Assert.Single(run.Hashes.Distinct());
    }

    [Fact]
    public async Task One_step_that_is_not_finite_is_skipped_by_all_alike_and_leaves_the_weights()
    {
        // The short last step of each epoch is the only one whose micro-batches hold one sample.
        var tasks = FaultyTask.Catalog((loss, batch) => batch.Targets.shape[0] == 1 ? loss with { Sum = loss.Sum * double.PositiveInfinity } : loss);
        var settings = new[] { "batch.global=101", "batch.micro=5", "stop.epochs=2" };
        var hashes = new List<IReadOnlyList<string>>();
        foreach (var workers in new[] { 1, 3 })
        {
            var run = await LocalCluster.RunAsync(_folder.At($"w{workers}"), LocalCluster.Options([.. settings, $"workers={workers}"]), tasks: tasks);
            Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
            Assert.Equal([false, false, true, false, false, true], run.Metrics.Select(m => m.GetProperty("skipped").GetBoolean()));
            Assert.Equal((run.Hashes[1], run.Hashes[4]), (run.Hashes[2], run.Hashes[5]));
            Assert.Equal(4, run.Hashes.Distinct().Count());
            hashes.Add(run.Hashes);
        }

        Assert.Equal(hashes[0], hashes[1]);
    }

    [Fact]
    public async Task A_metric_that_is_not_finite_is_null_and_not_the_end()
    {
        var tasks = new TaskCatalog().Add<PatternModel, PatternData>("pattern", context => new UnmeasurableTask(new PatternTask(context)));
        var run = await LocalCluster.RunAsync(_folder.At("run"), LocalCluster.Options("workers=2", "stop.epochs=1"), tasks: tasks);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Equal(JsonValueKind.Null, run.Summary.GetProperty("validation").GetProperty("accuracy").ValueKind);
    }

    [Fact]
    public async Task An_occupied_port_is_named_by_coordinator_and_worker()
    {
        using var occupied = new TcpListener(IPAddress.Loopback, 0);
        occupied.Start();
        var listen = occupied.LocalEndpoint.ToString()!;
        var sentence = $"{listen} is in use by another program: choose another port.";
        var coordinator = await CoordinatorHost.RunAsync(
            new CoordinatorSettings { Options = LocalCluster.Options(), Folder = _folder.At("run"), Listen = listen, Log = new LogBook() },
            TimeProvider.System, TestContext.Current.CancellationToken);
        Assert.Equal(new RunOutcome(false, sentence), coordinator);
        Assert.False(Directory.Exists(_folder.At("run")));
        var worker = await WorkerHost.RunAsync(
            new WorkerSettings { Coordinator = new Uri($"http://{listen}"), Listen = listen, Tasks = PatternTask.Catalog, Log = new LogBook() },
            TimeProvider.System, TestContext.Current.CancellationToken);
        Assert.Equal(new RunOutcome(false, sentence), worker);
    }

    [Fact]
    public async Task A_folder_that_cannot_be_written_is_named()
    {
        File.WriteAllText(_folder.At("file"), "");
        var outcome = await CoordinatorHost.RunAsync(
            new CoordinatorSettings { Options = LocalCluster.Options(), Folder = _folder.At("file"), Listen = "127.0.0.1:0", Log = new LogBook() },
            TimeProvider.System, TestContext.Current.CancellationToken);
        Assert.False(outcome.Success);
        Assert.StartsWith($"The run's folder {_folder.At("file")} cannot be written: ", outcome.Sentence);
    }

    [Fact]
    public async Task A_worker_that_dials_something_else_says_so()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LongRun("workers=2"));
        using var asked = new CancellationTokenSource();
        var worker = WorkerHost.RunAsync(
            coordinator.Worker(0) with { Coordinator = new Uri("http://127.0.0.1:9"), Patience = TimeSpan.FromSeconds(0.3) }, TimeProvider.System, asked.Token);
        var outcome = await worker.WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.Equal(new RunOutcome(false, "The coordinator at http://127.0.0.1:9/ was not reached within 300ms (Connection refused): see that it runs and that the address is right."), outcome);

        var waiting = WorkerHost.RunAsync(
            coordinator.Worker(0) with { Coordinator = new Uri("http://127.0.0.1:9") }, TimeProvider.System, asked.Token);
        await asked.CancelAsync();
        Assert.Equal(new RunOutcome(true, "The worker ended as it was asked to, without a coordinator."), await waiting.WaitAsync(Soon, TestContext.Current.CancellationToken));
    }

    private static Core.Options.RunOptions LongRun(params string[] settings) =>
        LocalCluster.Options([.. settings, "stop.epochs=1000000", "debug.delayPerMicroBatch.0=1ms"]);

    private static void Failed(ClusterRun run, string sentence)
    {
        Assert.False(run.Coordinator.Success);
        Assert.All(run.Workers, w => Assert.False(w.Success));
        Assert.Equal(("failed", sentence), (run.Summary.GetProperty("status").GetString(), run.Summary.GetProperty("reason").GetString()));
        Assert.DoesNotContain(run.Log.Entries, e => e.Level == LogLevel.Critical);
    }

    private sealed class UnmeasurableTask(PatternTask inner) : ITrainingTask
    {
        public IDataset Training => inner.Training;

        public IDataset Validation => inner.Validation;

        public IReadOnlyList<string> Metrics => inner.Metrics;

        public TorchSharp.torch.nn.Module BuildModel() => inner.BuildModel();

        public LossSum Loss(TorchSharp.torch.nn.Module model, TensorBatch batch) => inner.Loss(model, batch);

        public LossSum Evaluate(TorchSharp.torch.nn.Module model, TensorBatch batch, Span<double> metrics)
        {
            var loss = inner.Evaluate(model, batch, metrics);
            metrics[0] = double.NaN;
            return loss;
        }

        public void Dispose() => inner.Dispose();
    }
}
