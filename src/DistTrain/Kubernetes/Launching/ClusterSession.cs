using k8s;
using k8s.Exceptions;
using k8s.KubeConfigModels;

namespace DistTrain.Kubernetes.Launching;

/// <summary>Which cluster is meant, as kubectl is told.</summary>
/// <param name="Kubeconfig">The file; null for <c>KUBECONFIG</c>, then <c>~/.kube/config</c>, then the cluster this process runs in.</param>
/// <param name="Context">The context in it; null for its current one.</param>
/// <param name="Namespace">The namespace; null for that of the context.</param>
internal sealed record ClusterChoice(string? Kubeconfig, string? Context, string? Namespace);

/// <summary>A connection to a cluster's API server. Every call has a deadline, and what it fails with is a <see cref="ClusterException"/>.</summary>
internal sealed class ClusterSession : IDisposable
{
    /// <summary>The name under which fields of objects are owned.</summary>
    public const string Manager = "disttrain";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private readonly TimeProvider _time;

    private ClusterSession(IKubernetes client, string server, string space, TimeProvider time)
    {
        (Client, Server, Namespace, _time) = (client, server, space, time);
    }

    /// <summary>The API, for calls that stream.</summary>
    public IKubernetes Client { get; }

    /// <summary>The address of the API server.</summary>
    public string Server { get; }

    /// <summary>The namespace that all calls are about.</summary>
    public string Namespace { get; }

    /// <summary>The clock that deadlines go by.</summary>
    public TimeProvider Time => _time;

    /// <summary>Connects, as far as nothing is sent.</summary>
    /// <exception cref="ClusterException">The choice leads to no cluster.</exception>
    public static ClusterSession Open(ClusterChoice choice, Surroundings surroundings)
    {
        try
        {
            var configuration = Configure(choice, surroundings.Environment);

            // A log is followed for as long as it grows; every other call has a deadline of its own.
            configuration.HttpClientTimeout = Timeout.InfiniteTimeSpan;
            var client = new k8s.Kubernetes(configuration);
            return new ClusterSession(client, configuration.Host, NamespaceOf(choice, configuration), surroundings.Time);
        }
        catch (Exception wrong) when (wrong is KubeConfigException or YamlDotNet.Core.YamlException or IOException or UnauthorizedAccessException or FormatException
            or System.Security.Cryptography.CryptographicException or UriFormatException)
        {
            throw new ClusterException(
                ClusterFault.Configuration, $"The kubeconfig cannot be used: {ClusterErrors.Trim(wrong.Message)}. See 'kubectl config view', or give another by --kubeconfig.", wrong);
        }
    }

    /// <summary>The namespace a choice leads to, where no cluster need be there: the one that is named, that of the context, else <c>default</c>.</summary>
    /// <exception cref="ClusterException">A file or context is named that is not there.</exception>
    public static string NamespaceOf(ClusterChoice choice, Surroundings surroundings)
    {
        if (choice.Namespace is { } named)
        {
            return named;
        }

        try
        {
            return ReadFiles(choice, surroundings.Environment) is { } files && ContextOf(choice, files) is var context
                && files.Contexts.First(c => c.Name == context).ContextDetails?.Namespace is { Length: > 0 } ofContext ? ofContext : "default";
        }
        catch (Exception none) when (choice.Context is null && choice.Kubeconfig is null
            && none is ClusterException or KubeConfigException or YamlDotNet.Core.YamlException or IOException or UnauthorizedAccessException)
        {
            return "default";
        }
    }

    /// <summary>Asks the cluster.</summary>
    /// <exception cref="ClusterException">It refuses, fails, or does not answer in time.</exception>
    public async Task<T> AskAsync<T>(string verb, string what, Func<IKubernetes, CancellationToken, Task<T>> call, CancellationToken cancellation, TimeSpan? patience = null)
    {
        using var late = new CancellationTokenSource(patience ?? Patience, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellation);
        try
        {
            return await call(Client, either.Token);
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            throw ClusterErrors.Translate(new TimeoutException(), Call(verb, what));
        }
        catch (Exception failure) when (ClusterErrors.IsExpected(failure))
        {
            throw ClusterErrors.Translate(failure, Call(verb, what));
        }
    }

    /// <summary>Reads an object that need not be there.</summary>
    public async Task<T?> FindAsync<T>(string what, Func<IKubernetes, CancellationToken, Task<T>> call, CancellationToken cancellation)
        where T : class
    {
        try
        {
            return await AskAsync("read", what, call, cancellation);
        }
        catch (ClusterException missing) when (missing.Fault is ClusterFault.NotFound or ClusterFault.NoNamespace)
        {
            return null;
        }
    }

    /// <summary>What a call is about, for its sentence.</summary>
    public ClusterCall Call(string verb, string what) => new(verb, what, Namespace, Server);

    /// <inheritdoc/>
    public void Dispose() => Client.Dispose();

    private static string NamespaceOf(ClusterChoice choice, KubernetesClientConfiguration configuration) =>
        choice.Namespace ?? (string.IsNullOrEmpty(configuration.Namespace) ? "default" : configuration.Namespace);

    private static KubernetesClientConfiguration Configure(ClusterChoice choice, IReadOnlyDictionary<string, string> environment)
    {
        if (ReadFiles(choice, environment) is { } files)
        {
            return KubernetesClientConfiguration.BuildConfigFromConfigObject(files, ContextOf(choice, files));
        }

        var listed = environment.GetValueOrDefault("KUBECONFIG");
        if (choice.Context is null && string.IsNullOrEmpty(listed) && KubernetesClientConfiguration.IsInCluster())
        {
            return KubernetesClientConfiguration.InClusterConfig();
        }

        throw new ClusterException(
            ClusterFault.Configuration,
            $"There is no cluster to talk to: {(string.IsNullOrEmpty(listed) ? HomeFile(environment) : $"KUBECONFIG names {listed}, which")} does not exist, "
            + "and this process runs in no cluster. Give --kubeconfig FILE, or set KUBECONFIG.");
    }

    /// <summary>The kubeconfig files that a choice leads to, as one; null where there are none.</summary>
    private static K8SConfiguration? ReadFiles(ClusterChoice choice, IReadOnlyDictionary<string, string> environment)
    {
        if (choice.Kubeconfig is { } named && !File.Exists(named))
        {
            throw new ClusterException(ClusterFault.Configuration, $"--kubeconfig '{named}' does not exist: give the path of a kubeconfig file.");
        }

        var paths = choice.Kubeconfig is { } one ? new[] { one }
            : environment.GetValueOrDefault("KUBECONFIG") is { Length: > 0 } list ? list.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            : [HomeFile(environment)];
        var files = paths.Where(File.Exists).Select(f => new FileInfo(f)).ToList();
        return files.Count == 0 ? null : KubeconfigFiles.Merge(files);
    }

    private static string HomeFile(IReadOnlyDictionary<string, string> environment) => Path.Combine(environment.GetValueOrDefault("HOME") ?? "", ".kube", "config");

    private static string ContextOf(ClusterChoice choice, K8SConfiguration merged)
    {
        var contexts = merged.Contexts?.Select(c => c.Name).ToList() ?? [];
        var context = choice.Context ?? merged.CurrentContext;
        var known = contexts.Count == 0 ? "it has none" : $"it has {string.Join(", ", contexts)}";
        return string.IsNullOrEmpty(context)
            ? throw new ClusterException(ClusterFault.Configuration, $"The kubeconfig has no current context ({known}): give --context, or 'kubectl config use-context'.")
            : contexts.Contains(context) ? context
            : throw new ClusterException(
                ClusterFault.Configuration, $"{(choice.Context is null ? "current-context" : "--context")} is '{context}', which is not in the kubeconfig ({known}).");
    }
}
