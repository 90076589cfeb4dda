using System.Text.Json.Nodes;
using System.Threading.Channels;
using DistTrain.TestKit.Kubernetes;
using k8s;
using k8s.Models;

namespace DistTrain.PlayedCluster;

/// <summary>The objects of the one namespace that is played, typed. They come out as copies: who wants to change one says how.</summary>
/// <param name="objects">The objects, as the API server has them.</param>
/// <param name="space">The namespace.</param>
internal sealed class ClusterState(FakeCluster objects, string space)
{
    private static readonly Dictionary<Type, string> Resources = new()
    {
        [typeof(V1Pod)] = "pods",
        [typeof(V1Service)] = "services",
        [typeof(V1ServiceAccount)] = "serviceaccounts",
        [typeof(V1ConfigMap)] = "configmaps",
        [typeof(V1PersistentVolumeClaim)] = "persistentvolumeclaims",
        [typeof(Corev1Event)] = "events",
        [typeof(V1Deployment)] = "deployments.apps",
        [typeof(V1Job)] = "jobs.batch",
        [typeof(V1Role)] = "roles.rbac.authorization.k8s.io",
        [typeof(V1RoleBinding)] = "rolebindings.rbac.authorization.k8s.io",
        [typeof(V1NetworkPolicy)] = "networkpolicies.networking.k8s.io",
        [typeof(V1PodDisruptionBudget)] = "poddisruptionbudgets.policy",
    };

    private readonly Channel<bool> _changed = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>The namespace.</summary>
    public string Space { get; } = space;

    /// <summary>The objects of a kind, by name.</summary>
    public IReadOnlyList<T> All<T>()
        where T : class, IKubernetesObject<V1ObjectMeta> => [.. objects.List(PathOf(typeof(T), "")).Select(Read<T>)];

    /// <summary>An object; null where there is none.</summary>
    public T? Find<T>(string name)
        where T : class, IKubernetesObject<V1ObjectMeta> => objects.Find(PathOf(typeof(T), name)) is { } json ? Read<T>(json) : null;

    /// <summary>Creates an object, or replaces the one of its name.</summary>
    public void Put(IKubernetesObject<V1ObjectMeta> given)
    {
        objects.Put(PathOf(given.GetType(), given.Metadata.Name), Write(given));
        Touch();
    }

    /// <summary>Asks for an object's end. A pod is gone when its kubelet has let go of it.</summary>
    /// <param name="gone">The object.</param>
    /// <param name="grace">The seconds a pod has; null for what it states itself.</param>
    public void Delete(IKubernetesObject<V1ObjectMeta> gone, long? grace = null)
    {
        objects.Delete(PathOf(gone.GetType(), gone.Metadata.Name), grace: grace);
        Touch();
    }

    /// <summary>Changes an object in one go; nothing happens where it is gone.</summary>
    public void Change<T>(string name, Action<T> change)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        objects.Change(PathOf(typeof(T), name), json =>
        {
            var typed = Read<T>(json);
            change(typed);
            json.Clear();
            foreach (var (key, value) in Write(typed))
            {
                json[key] = value?.DeepClone();
            }
        });
        Touch();
    }

    /// <summary>Tells that something has changed.</summary>
    public void Touch() => _changed.Writer.TryWrite(true);

    /// <summary>Passes on what the API server's clients change, until it is cancelled.</summary>
    public async Task FollowAsync(CancellationToken cancellation)
    {
        await foreach (var _ in objects.Watch(fromStart: false, cancellation).ReadAllAsync(cancellation))
        {
            Touch();
        }
    }

    /// <summary>Waits until something has changed, or a while has passed.</summary>
    public async Task ChangedAsync(TimeSpan longest, CancellationToken cancellation)
    {
        try
        {
            await _changed.Reader.WaitToReadAsync(cancellation).AsTask().WaitAsync(longest, cancellation);
            _changed.Reader.TryRead(out _);
        }
        catch (TimeoutException)
        {
            // Nothing has; times may have passed that somebody waits for.
        }
    }

    private static T Read<T>(JsonObject json) => KubernetesJson.Deserialize<T>(json.ToJsonString());

    private static JsonObject Write(IKubernetesObject<V1ObjectMeta> typed) => JsonNode.Parse(KubernetesJson.Serialize((object)typed))!.AsObject();

    private ResourcePath PathOf(Type kind, string name) => FakeCluster.PathOf(
        Resources.TryGetValue(kind, out var resource) ? resource : throw new NotPlayedException($"objects of the kind {kind.Name}"), Space, name);
}
