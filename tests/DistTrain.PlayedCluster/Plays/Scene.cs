using System.Diagnostics;
using DistTrain.PlayedCluster.Controllers;
using k8s;
using k8s.Models;

namespace DistTrain.PlayedCluster.Plays;

/// <summary>A run in a cluster, as somebody with kubectl sees and changes it.</summary>
internal sealed class Scene(Stage stage, Cluster cluster, string? workers = null) : IAsyncDisposable
{
    public const string Coordinator = "coordinator";
    public const string Worker = "worker";

    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(100);

    private readonly Kubernetes _client = cluster.Client();

    public Cluster Cluster { get; } = cluster;

    /// <summary>The run's Job.</summary>
    public V1Job Job => Cluster.State.All<V1Job>().Single();

    /// <summary>The workers' Deployment.</summary>
    public V1Deployment Workers => Cluster.State.Find<V1Deployment>(workers ?? stage.WorkersName)!;

    /// <summary>The run's folder, on the volume.</summary>
    public string Run => Path.Combine(Cluster.FolderOfClaim(Cluster.State.All<V1PersistentVolumeClaim>().Single().Metadata.Name), "run");

    /// <summary>The folder of a checkpoint.</summary>
    public string CheckpointOf(int step) => Path.Combine(Run, "checkpoints", $"step-{step:D8}");

    /// <summary>How many steps are written down.</summary>
    public int Steps
    {
        get
        {
            try
            {
                using var file = new StreamReader(new FileStream(Path.Combine(Run, "metrics.jsonl"), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete));
                var lines = 0;
                while (file.ReadLine() is not null)
                {
                    lines++;
                }

                return lines;
            }
            catch (IOException)
            {
                return 0;
            }
        }
    }

    /// <summary>Whether a Job's condition is there.</summary>
    public bool JobIs(string condition) => Job.Status?.Conditions?.Any(c => c.Type == condition && c.Status == "True") == true;

    /// <summary>Waits for something that everything after it needs.</summary>
    /// <returns>How long it took.</returns>
    public async Task<TimeSpan> WaitAsync(string what, TimeSpan patience, Func<bool> isThere)
    {
        var time = Stopwatch.StartNew();
        while (!isThere())
        {
            if (time.Elapsed > patience)
            {
                Describe();
                throw new PlayBrokenException($"{what} did not come within {patience.TotalSeconds:0} s");
            }

            await Task.Delay(Glance);
        }

        stage.Tally.Say($"{what}: after {time.Elapsed.TotalSeconds:0.0} s");
        return time.Elapsed;
    }

    /// <summary>Waits for workers: so many, all ready, none on its way out.</summary>
    public Task<TimeSpan> ReadyAsync(int workers, TimeSpan patience) => WaitAsync(
        $"{workers} workers ready", patience, () => Cluster.Pods(Worker) is var pods && pods.Count == workers && pods.All(p => p.IsReady()));

    /// <summary>Waits for a number of steps from now on.</summary>
    public Task<TimeSpan> StepAsync(int more, TimeSpan patience)
    {
        var goal = Steps + more;
        return WaitAsync($"step {goal}", patience, () => Steps >= goal);
    }

    /// <summary>kubectl scale.</summary>
    public async Task ScaleAsync(int replicas)
    {
        stage.Tally.Say($"kubectl scale deployment/{Workers.Metadata.Name} --replicas={replicas} (at step {Steps})");
        var patch = new V1Patch($"{{\"spec\":{{\"replicas\":{replicas}}}}}", V1Patch.PatchType.MergePatch);
        await _client.AppsV1.PatchNamespacedDeploymentScaleAsync(patch, Workers.Metadata.Name, Cluster.State.Space);
    }

    /// <summary>What there is, for whoever has to find out why something did not come.</summary>
    public void Describe()
    {
        foreach (var pod in Cluster.State.All<V1Pod>())
        {
            var state = pod.Status.ContainerStatuses?.FirstOrDefault()?.State;
            var words = state?.Waiting?.Reason ?? (state?.Terminated is { } end ? $"exit code {end.ExitCode}" : state?.Running is not null ? "running" : "-");
            stage.Tally.Say($"  {pod.Metadata.Name} {pod.Status.Phase}{(pod.IsTerminating() ? ", terminating" : "")}{(pod.IsReady() ? ", ready" : "")}, {words}, restarts {pod.Restarts()}");
        }

        foreach (var told in Cluster.Events.TakeLast(15))
        {
            stage.Tally.Say($"  {told.At:HH:mm:ss} {told.Pod} {told.Reason}: {told.Message}");
        }

        foreach (var pod in Cluster.History.TakeLast(8).Where(p => File.Exists(Cluster.LogOf(p))))
        {
            stage.Tally.Say($"  the log of {pod.Metadata.Name} ends:\n    {string.Join("\n    ", File.ReadLines(Cluster.LogOf(pod)).TakeLast(12))}");
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await Cluster.DisposeAsync();
    }
}
