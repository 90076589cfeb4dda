using System.Text.Json;
using DistTrain.Coordinator;
using DistTrain.Core;
using DistTrain.Core.Options;
using DistTrain.Training.Tasks;
using DistTrain.Worker;

namespace DistTrain.TestKit;

/// <summary>What a run in one process left behind.</summary>
/// <param name="Coordinator">How the coordinator ended.</param>
/// <param name="Workers">How each worker ended.</param>
/// <param name="Folder">The run's folder.</param>
/// <param name="Log">What all of them logged.</param>
public sealed record ClusterRun(RunOutcome Coordinator, IReadOnlyList<RunOutcome> Workers, string Folder, LogBook Log)
{
    /// <summary>The lines of <c>metrics.jsonl</c>.</summary>
    public IReadOnlyList<JsonElement> Metrics => Lines("metrics.jsonl");

    /// <summary>The hash of the weights after every step.</summary>
    public IReadOnlyList<string> Hashes => [.. Metrics.Select(m => m.GetProperty("weightsHash").GetString()!)];

    /// <summary>What has happened, by name, in order.</summary>
    public IReadOnlyList<string> Events => [.. Lines("events.jsonl").Select(e => e.GetProperty("event").GetString()!)];

    /// <summary><c>summary.json</c>.</summary>
    public JsonElement Summary => JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder, "summary.json"))).RootElement;

    /// <summary>The lines of one of the folder's files.</summary>
    public IReadOnlyList<JsonElement> Lines(string file) =>
        [.. File.ReadLines(Path.Combine(Folder, file)).Select(line => JsonDocument.Parse(line).RootElement)];
}

/// <summary>A coordinator and its workers in one process, over real sockets on loopback.</summary>
public static class LocalCluster
{
    /// <summary>A configuration of <see cref="PatternTask"/>, with some keys changed.</summary>
    public static RunOptions Options(params string[] settings)
    {
        var values = new Dictionary<string, string>
        {
            ["name"] = "test",
            ["task"] = "pattern",
            ["model.name"] = "pattern",
            ["data.name"] = "pattern",
            ["batch.global"] = "50",
            ["batch.micro"] = "4",
            ["optimizer.learningRate"] = "0.1",
            ["stop.epochs"] = "2",
            ["failureDetection"] = "20s",

            // One instruction set on every machine with AVX2, so that golden trajectories are those of as many as possible.
            ["instructions"] = "avx2",
        };
        foreach (var setting in settings)
        {
            var at = setting.IndexOf('=', StringComparison.Ordinal);
            values[setting[..at]] = setting[(at + 1)..];
        }

        var (options, problems) = OptionsReader.ReadRun(values);
        return problems.Count == 0 ? options : throw new ArgumentException(string.Join(" ", problems));
    }

    /// <summary>Runs to the end. A run that succeeds and logs an error nevertheless is a failure.</summary>
    /// <param name="folder">Where the run's folder goes.</param>
    /// <param name="options">The configuration; its number of workers is started.</param>
    /// <param name="change">Changes a worker's settings.</param>
    /// <param name="tasks">The tasks the workers know.</param>
    public static async Task<ClusterRun> RunAsync(
        string folder, RunOptions options, Func<WorkerSettings, WorkerSettings>? change = null, TaskCatalog? tasks = null)
    {
        await using var coordinator = await LocalCoordinator.StartAsync(folder, options);
        var workers = Enumerable.Range(0, options.Workers)
            .Select(number => coordinator.Worker(number) with { Tasks = tasks ?? PatternTask.Catalog })
            .Select(settings => coordinator.StartWorker(change?.Invoke(settings) ?? settings))
            .ToList();
        var run = await coordinator.EndAsync(workers);
        if (run.Coordinator.Success && run.Log.Errors.Count > 0)
        {
            throw new InvalidOperationException($"The run succeeded, but logged {string.Join("; ", run.Log.Errors)}.");
        }

        return run;
    }
}

/// <summary>A coordinator in this process, for tests that bring their own workers. It ends with its scope.</summary>
public sealed class LocalCoordinator : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);
    private readonly CancellationTokenSource _stop;
    private readonly string _folder;

    private LocalCoordinator(string folder, Uri address, Task<RunOutcome> outcome, LogBook log, CancellationTokenSource stop)
    {
        _folder = folder;
        _stop = stop;
        Address = address;
        Outcome = outcome;
        Log = log;
    }

    /// <summary>Where it listens.</summary>
    public Uri Address { get; }

    /// <summary>How it ends.</summary>
    public Task<RunOutcome> Outcome { get; }

    /// <summary>What it and its workers log.</summary>
    public LogBook Log { get; }

    /// <summary>Starts one on a port of its own; returns when it listens.</summary>
    /// <param name="folder">The run's folder.</param>
    /// <param name="options">The configuration.</param>
    /// <param name="change">Changes its settings.</param>
    public static async Task<LocalCoordinator> StartAsync(string folder, RunOptions options, Func<CoordinatorSettings, CoordinatorSettings>? change = null)
    {
        var log = new LogBook();
        var stop = new CancellationTokenSource(Deadline);
        var listening = new TaskCompletionSource<Uri>(TaskCreationOptions.RunContinuationsAsynchronously);
        var settings = new CoordinatorSettings
        {
            Options = options,
            Folder = folder,
            Listen = "127.0.0.1:0",
            Log = log,
            OnListening = address => listening.SetResult(new Uri(address)),
        };
        var outcome = CoordinatorHost.RunAsync(change?.Invoke(settings) ?? settings, TimeProvider.System, stop.Token);
        return await Task.WhenAny(listening.Task, outcome) == outcome
            ? throw new InvalidOperationException((await outcome).Sentence)
            : new LocalCoordinator(folder, await listening.Task, outcome, log, stop);
    }

    /// <summary>What a worker of <see cref="PatternTask"/> is started with.</summary>
    public WorkerSettings Worker(int number) => new()
    {
        Coordinator = Address,
        Listen = "127.0.0.1:0",
        Number = number,
        Tasks = PatternTask.Catalog,
        Log = Log,
    };

    /// <summary>Starts a worker in this process.</summary>
    /// <param name="settings">See <see cref="Worker"/>.</param>
    /// <param name="cancellation">Asks it to end; it is asked at the test's deadline in any case.</param>
    public async Task<RunOutcome> StartWorker(WorkerSettings settings, CancellationToken cancellation = default)
    {
        using var both = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token, cancellation);
        return await WorkerHost.RunAsync(settings, TimeProvider.System, both.Token);
    }

    /// <summary>Waits until a step is completed.</summary>
    public Task StepAsync(long step) => WatchAsync(e => e.Step?.Step >= step);

    /// <summary>Waits until something has happened.</summary>
    /// <param name="name">What, such as <c>lost</c>.</param>
    /// <param name="end">How its sentence ends.</param>
    public Task HappenedAsync(string name, string end) =>
        WatchAsync(e => e.Happening is { } happening && happening.Name == name && happening.Sentence.EndsWith(end, StringComparison.Ordinal));

    private async Task WatchAsync(Func<Protocol.V1.RunEvent, bool> until)
    {
        using var channel = Protocol.Hosting.GrpcDialer.Open(Address, Deadline);
        using var watch = new Protocol.V1.Coordinator.CoordinatorClient(channel).Watch(new Protocol.V1.WatchRequest());
        while (await watch.ResponseStream.MoveNext(_stop.Token))
        {
            if (until(watch.ResponseStream.Current))
            {
                return;
            }
        }
    }

    /// <summary>Has one worker train to a step, cuts it off, and ends when it has given up: nobody has the state any more.</summary>
    public async Task LoseStateAsync(long step)
    {
        await using var relay = new Relay(Address);
        var lost = StartWorker(Worker(0) with { Coordinator = relay.Address, Patience = TimeSpan.FromSeconds(5) });
        await StepAsync(step);
        relay.Cut();
        await lost.WaitAsync(Deadline);
        Stop();
    }

    /// <summary>Asks the coordinator to end.</summary>
    public void Stop() => _stop.Cancel();

    /// <summary>Waits until all have ended.</summary>
    public async Task<ClusterRun> EndAsync(IReadOnlyList<Task<RunOutcome>> workers)
    {
        var outcomes = await Task.WhenAll(workers);
        return new ClusterRun(await Outcome, outcomes, _folder, Log);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Outcome;
        _stop.Dispose();
    }
}
