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
public sealed record ClusterRun(RunOutcome Coordinator, IReadOnlyList<RunOutcome> Workers, string Folder)
{
    /// <summary>The lines of <c>metrics.jsonl</c>.</summary>
    public IReadOnlyList<JsonElement> Metrics => Lines("metrics.jsonl");

    /// <summary>The hash of the weights after every step.</summary>
    public IReadOnlyList<string> Hashes => [.. Metrics.Select(m => m.GetProperty("weightsHash").GetString()!)];

    /// <summary><c>summary.json</c>.</summary>
    public JsonElement Summary => JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder, "summary.json"))).RootElement;

    /// <summary>The lines of one of the folder's files.</summary>
    public IReadOnlyList<JsonElement> Lines(string file) =>
        [.. File.ReadLines(Path.Combine(Folder, file)).Select(line => JsonDocument.Parse(line).RootElement)];
}

/// <summary>A coordinator and its workers in one process, over real sockets on loopback.</summary>
public static class LocalCluster
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

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
        };
        foreach (var setting in settings)
        {
            var at = setting.IndexOf('=', StringComparison.Ordinal);
            values[setting[..at]] = setting[(at + 1)..];
        }

        var (options, problems) = OptionsReader.ReadRun(values);
        return problems.Count == 0 ? options : throw new ArgumentException(string.Join(" ", problems));
    }

    /// <summary>Runs to the end.</summary>
    /// <param name="folder">Where the run's folder goes.</param>
    /// <param name="options">The configuration; its number of workers is started.</param>
    /// <param name="change">Changes a worker's settings.</param>
    /// <param name="tasks">The tasks the workers know.</param>
    public static async Task<ClusterRun> RunAsync(
        string folder, RunOptions options, Func<WorkerSettings, WorkerSettings>? change = null, TaskCatalog? tasks = null)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        var listening = new TaskCompletionSource<Uri>(TaskCreationOptions.RunContinuationsAsynchronously);
        var settings = new CoordinatorSettings
        {
            Options = options,
            Folder = folder,
            Listen = "127.0.0.1:0",
            OnListening = address => listening.SetResult(new Uri(address)),
        };
        var coordinator = CoordinatorHost.RunAsync(settings, TimeProvider.System, deadline.Token);
        var address = await listening.Task.WaitAsync(deadline.Token);
        var workers = Enumerable.Range(0, options.Workers)
            .Select(number => new WorkerSettings
            {
                Coordinator = address,
                Listen = "127.0.0.1:0",
                Number = number,
                Tasks = tasks ?? PatternTask.Catalog,
            })
            .Select(worker => WorkerHost.RunAsync(change?.Invoke(worker) ?? worker, TimeProvider.System, deadline.Token))
            .ToList();
        var outcomes = await Task.WhenAll(workers);
        return new ClusterRun(await coordinator, outcomes, folder);
    }
}
