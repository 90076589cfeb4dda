using System.Globalization;
using DistTrain.Core.Membership;
using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.InCluster;

/// <summary>
/// The few calls that a pod of a run makes to its cluster's API, each with a deadline. Coordinator: patch one Deployment's scale. Worker: the same, get one Job, create Events.
/// Its service account needs no more.
/// </summary>
internal sealed class ClusterApi : IDisposable
{
    private const string ConfigurationVariable = "KUBECONFIG";
    private readonly k8s.Kubernetes _client;
    private readonly string _namespace;
    private readonly TimeSpan _deadline;
    private readonly TimeProvider _time;

    private ClusterApi(k8s.Kubernetes client, string @namespace, TimeSpan deadline, TimeProvider time)
    {
        (_client, _namespace, _deadline, _time) = (client, @namespace, deadline, time);
    }

    /// <summary>Opens the API of the cluster this process is in; of one named by KUBECONFIG, for a process that is in none.</summary>
    /// <param name="environment">The environment variables.</param>
    /// <param name="timeouts">How long a call may take.</param>
    /// <param name="time">The clock.</param>
    /// <exception cref="ClusterApiException">There is none.</exception>
    public static ClusterApi Open(IReadOnlyDictionary<string, string> environment, Timeouts timeouts, TimeProvider time)
    {
        try
        {
            var file = environment.GetValueOrDefault(ConfigurationVariable);
            if (!KubernetesClientConfiguration.IsInCluster() && string.IsNullOrEmpty(file))
            {
                throw new ClusterApiException("This process is in no cluster: it has no service account's token, and KUBECONFIG is not set.") { IsPassing = false };
            }

            var configuration = KubernetesClientConfiguration.IsInCluster()
                ? KubernetesClientConfiguration.InClusterConfig()
                : KubernetesClientConfiguration.BuildConfigFromConfigFile(new FileInfo(file!));
            configuration.HttpClientTimeout = timeouts.ClusterCall;
            var own = environment.GetValueOrDefault(PodEvent.NamespaceVariable);
            var space = !string.IsNullOrEmpty(own) ? own : configuration.Namespace ?? "default";
            return new ClusterApi(new k8s.Kubernetes(configuration), space, timeouts.ClusterCall, time);
        }
        catch (Exception e) when (e is not (ClusterApiException or OutOfMemoryException))
        {
            throw ClusterApiException.Of("do anything for this process", e);
        }
    }

    /// <summary>Sets a Deployment's scale.</summary>
    /// <exception cref="ClusterApiException">It was not set.</exception>
    public Task ScaleAsync(string deployment, int replicas, CancellationToken cancellation) => CallAsync(
        $"scale Deployment {deployment} in {_namespace}",
        token => _client.AppsV1.PatchNamespacedDeploymentScaleAsync(
            new V1Patch($"{{\"spec\":{{\"replicas\":{replicas.ToString(CultureInfo.InvariantCulture)}}}}}", V1Patch.PatchType.MergePatch), deployment, _namespace,
            cancellationToken: token),
        cancellation);

    /// <summary>What became of a Job.</summary>
    /// <exception cref="ClusterApiException">The cluster does not say.</exception>
    public async Task<JobState> JobAsync(string job, CancellationToken cancellation)
    {
        try
        {
            return JobVerdict.StateOf(await CallAsync(
                $"get Job {job} in {_namespace}", token => _client.BatchV1.ReadNamespacedJobAsync(job, _namespace, cancellationToken: token), cancellation));
        }
        catch (ClusterApiException e) when (e.IsAbsence)
        {
            return JobState.Gone;
        }
    }

    /// <summary>Creates an Event.</summary>
    /// <exception cref="ClusterApiException">It was not created.</exception>
    public Task CreateAsync(Corev1Event happened, CancellationToken cancellation) => CallAsync(
        $"create an Event in {_namespace}",
        token => _client.CoreV1.CreateNamespacedEventAsync(happened, happened.Metadata.NamespaceProperty ?? _namespace, cancellationToken: token),
        cancellation);

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    private async Task<T> CallAsync<T>(string what, Func<CancellationToken, Task<T>> call, CancellationToken cancellation)
    {
        using var deadline = new CancellationTokenSource(_deadline, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancellation, deadline.Token);
        try
        {
            return await call(both.Token);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            cancellation.ThrowIfCancellationRequested();
            throw ClusterApiException.Of(what, e);
        }
    }
}
