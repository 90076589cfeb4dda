using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Launching;

/// <summary>How far a run is, as its objects say.</summary>
internal enum RunPhase
{
    /// <summary>There is no such run.</summary>
    Missing,

    /// <summary>Its Job is held back, by a queue or by hand.</summary>
    Suspended,

    /// <summary>No coordinator runs yet, or none at the moment.</summary>
    Pending,

    /// <summary>A coordinator runs.</summary>
    Running,

    /// <summary>It is finished.</summary>
    Completed,

    /// <summary>It has failed for good.</summary>
    Failed,
}

/// <summary>The objects of a run at one moment.</summary>
internal sealed record RunSnapshot
{
    private const int MostEvents = 500;

    /// <summary>Their names.</summary>
    public required RunNames Names { get; init; }

    /// <summary>Where they are.</summary>
    public required string Namespace { get; init; }

    /// <summary>The coordinator's Job.</summary>
    public V1Job? Job { get; init; }

    /// <summary>The workers' Deployment.</summary>
    public V1Deployment? Workers { get; init; }

    /// <summary>The claim of the run's folder.</summary>
    public V1PersistentVolumeClaim? Volume { get; init; }

    /// <summary>All pods of the run, the oldest first.</summary>
    public IReadOnlyList<V1Pod> Pods { get; init; } = [];

    /// <summary>What the cluster told of the run's objects, the oldest first.</summary>
    public IReadOnlyList<Corev1Event> Events { get; init; } = [];

    /// <summary>The coordinator's pods, the oldest first.</summary>
    public IEnumerable<V1Pod> CoordinatorPods => Pods.Where(p => Component(p) == "coordinator");

    /// <summary>The workers' pods, the oldest first: a worker's number is its place here.</summary>
    public IEnumerable<V1Pod> WorkerPods => Pods.Where(p => Component(p) == "worker");

    /// <summary>The coordinator's newest pod.</summary>
    public V1Pod? Coordinator => CoordinatorPods.LastOrDefault();

    /// <summary>How far the run is.</summary>
    public RunPhase Phase => Job switch
    {
        null => RunPhase.Missing,
        _ when Has("Complete") => RunPhase.Completed,
        _ when Has("Failed") => RunPhase.Failed,
        { Spec.Suspend: true } => RunPhase.Suspended,
        _ => CoordinatorPods.Any(p => p.Status?.Phase == "Running" && p.Metadata.DeletionTimestamp is null) ? RunPhase.Running : RunPhase.Pending,
    };

    /// <summary>How many workers are wanted.</summary>
    public int Wanted => Workers?.Spec?.Replicas ?? 0;

    /// <summary>How many of them take part.</summary>
    public int Ready => Workers?.Status?.ReadyReplicas ?? 0;

    /// <summary>Asks the cluster for all of it. Events and the volume, which not everybody may see, are left out where they are forbidden.</summary>
    /// <exception cref="ClusterException">The cluster does not answer.</exception>
    public static async Task<RunSnapshot> TakeAsync(ClusterSession cluster, RunNames names, CancellationToken cancellation)
    {
        var space = cluster.Namespace;
        var job = cluster.FindAsync($"job.batch/{names.Coordinator}", (k, t) => k.BatchV1.ReadNamespacedJobAsync(names.Coordinator, space, cancellationToken: t), cancellation);
        var workers = cluster.FindAsync($"deployment.apps/{names.Worker}", (k, t) => k.AppsV1.ReadNamespacedDeploymentAsync(names.Worker, space, cancellationToken: t), cancellation);
        var pods = cluster.AskAsync("list", "pods", (k, t) => k.CoreV1.ListNamespacedPodAsync(space, labelSelector: names.Selector, cancellationToken: t), cancellation);
        var volume = AllowedAsync(cluster.FindAsync(
            $"persistentvolumeclaim/{names.Volume}", (k, t) => k.CoreV1.ReadNamespacedPersistentVolumeClaimAsync(names.Volume, space, cancellationToken: t), cancellation));
        var events = AllowedAsync<Corev1EventList>(cluster.AskAsync<Corev1EventList?>(
            "list", "events", async (k, t) => await k.CoreV1.ListNamespacedEventAsync(space, limit: MostEvents, cancellationToken: t), cancellation));
        await Task.WhenAll(job, workers, pods, volume, events);
        return new RunSnapshot
        {
            Names = names,
            Namespace = space,
            Job = await job,
            Workers = await workers,
            Volume = await volume,
            Pods = [.. (await pods).Items.OrderBy(p => p.Metadata.CreationTimestamp).ThenBy(p => p.Metadata.Name, StringComparer.Ordinal)],
            Events = [.. (await events)?.Items.Where(e => IsOf(names, e.InvolvedObject?.Name ?? "")).OrderBy(TimeOf) ?? Enumerable.Empty<Corev1Event>()],
        };
    }

    /// <summary>When an event was last seen.</summary>
    public static DateTime TimeOf(Corev1Event told) =>
        told.LastTimestamp ?? told.Series?.LastObservedTime ?? told.EventTime ?? told.Metadata?.CreationTimestamp ?? DateTime.MinValue;

    private static string? Component(V1Pod pod) => pod.Metadata.Labels?.TryGetValue(RunNames.ComponentLabel, out var component) == true ? component : null;

    private bool Has(string condition) => Job?.Status?.Conditions?.Any(c => c.Type == condition && c.Status == "True") == true;

    /// <summary>Pods and replica sets have names that begin with those of their owners.</summary>
    private static bool IsOf(RunNames names, string name) =>
        new[] { names.Coordinator, names.Worker, names.Volume }.Any(own => name == own || name.StartsWith(own + "-", StringComparison.Ordinal));

    private static async Task<T?> AllowedAsync<T>(Task<T?> asked)
        where T : class
    {
        try
        {
            return await asked;
        }
        catch (ClusterException refused) when (refused.Fault == ClusterFault.Forbidden)
        {
            return null;
        }
    }
}
