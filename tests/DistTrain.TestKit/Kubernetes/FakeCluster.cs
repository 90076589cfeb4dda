using System.Globalization;
using System.Text.Json.Nodes;
using System.Threading.Channels;

namespace DistTrain.TestKit.Kubernetes;

/// <summary>A change of an object, as a watch tells it: ADDED, MODIFIED or DELETED.</summary>
public sealed record ClusterChange(string Type, ResourcePath Path, JsonObject Object);

/// <summary>
/// The objects of a cluster that has no controllers: whoever wants pods for a Job puts them there. It keeps what the API server keeps: names, uids, versions,
/// owners, and a pod that runs on a node until its kubelet lets go of it. Safe to use from several threads; objects go in and come out as copies.
/// </summary>
public sealed class FakeCluster(TimeProvider time)
{
    private const int MostUnread = 10_000;

    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, (ResourcePath Path, JsonObject Object)> _objects = new(StringComparer.Ordinal);
    private readonly List<Channel<ClusterChange>> _watchers = [];
    private long _version = 100;

    /// <summary>A cluster with the namespaces every cluster has.</summary>
    public FakeCluster()
        : this(TimeProvider.System)
    {
        AddNamespace("default");
        AddNamespace("kube-system");
    }

    /// <summary>The version of the newest change.</summary>
    public long Version
    {
        get
        {
            lock (_gate)
            {
                return _version;
            }
        }
    }

    /// <summary>The path of a resource of the kinds that are served, such as <c>pods</c> or <c>jobs.batch</c>.</summary>
    public static ResourcePath PathOf(string resource, string space, string name = "") =>
        resource.Split('.', 2) is [var plural, var group]
            ? new ResourcePath(group, "v1", space, plural, name, "")
            : new ResourcePath("", "v1", space, resource, name, "");

    /// <summary>Adds a namespace.</summary>
    public void AddNamespace(string name) =>
        Put(new ResourcePath("", "v1", "", "namespaces", name, ""), new JsonObject { ["metadata"] = new JsonObject { ["name"] = name } });

    /// <summary>Whether there is a namespace of that name; an object that is in none needs none.</summary>
    public bool HasNamespace(string name) => name.Length == 0 || Find(new ResourcePath("", "v1", "", "namespaces", name, "")) is not null;

    /// <summary>An object; null where there is none of that name.</summary>
    public JsonObject? Find(ResourcePath path)
    {
        lock (_gate)
        {
            return _objects.TryGetValue(Key(path), out var found) ? Copy(found.Object) : null;
        }
    }

    /// <summary>The objects of a collection that a selector takes, by name.</summary>
    public IReadOnlyList<JsonObject> List(ResourcePath path, LabelSelector? selector = null, FieldSelector? fields = null)
    {
        lock (_gate)
        {
            return
            [
                .. _objects.Values
                    .Where(o => o.Path.Qualified == path.Qualified && (path.Namespace.Length == 0 || o.Path.Namespace == path.Namespace))
                    .Where(o => (selector?.Takes(o.Object) ?? true) && (fields?.Takes(o.Object) ?? true))
                    .Select(o => Copy(o.Object)),
            ];
        }
    }

    /// <summary>Puts an object in the place of the one of its name, or makes it.</summary>
    /// <returns>The object as it is kept.</returns>
    public JsonObject Put(ResourcePath path, JsonObject json)
    {
        lock (_gate)
        {
            var before = _objects.TryGetValue(Key(path), out var found) ? found.Object : null;
            var kept = Copy(json);
            kept["apiVersion"] = path.ApiVersion;
            kept["kind"] = ResourceKinds.KindOf(path);
            var metadata = Metadata(kept);
            metadata["name"] = path.Name;
            if (path.Namespace.Length > 0)
            {
                metadata["namespace"] = path.Namespace;
            }

            var old = before is null ? null : Metadata(before);
            metadata["uid"] = old?["uid"]?.DeepClone() ?? $"00000000-0000-4000-8000-{_version:x12}";
            metadata["creationTimestamp"] = old?["creationTimestamp"]?.DeepClone() ?? metadata["creationTimestamp"]?.DeepClone() ?? Now();
            metadata["generation"] = before is null ? 1
                : (long)old!["generation"]! + (JsonNode.DeepEquals(before["spec"], kept["spec"]) ? 0 : 1);
            if (before is not null && Same(before, kept))
            {
                return Copy(before);
            }

            metadata["resourceVersion"] = (++_version).ToString(CultureInfo.InvariantCulture);
            kept = Copy(kept);
            _objects[Key(path)] = (path with { Subresource = "" }, kept);
            Tell(before is null ? "ADDED" : "MODIFIED", path, kept);
            return Copy(kept);
        }
    }

    /// <summary>Changes an object in one go.</summary>
    /// <returns>The object as it is kept; null where there is none.</returns>
    public JsonObject? Change(ResourcePath path, Action<JsonObject> change)
    {
        lock (_gate)
        {
            if (Find(path) is not { } json)
            {
                return null;
            }

            change(json);
            return Put(path, json);
        }
    }

    /// <summary>
    /// Deletes an object, and, unless they are to be orphans, what it owns. A pod on a node is only asked to end; its kubelet deletes it without grace when it has.
    /// </summary>
    /// <returns>Whether there was one.</returns>
    public bool Delete(ResourcePath path, bool orphans = false, long? grace = null)
    {
        lock (_gate)
        {
            if (Find(path) is not { } json)
            {
                return false;
            }

            if (path.Plural == "pods" && grace != 0 && json["spec"]?["nodeName"] is not null)
            {
                var metadata = Metadata(json);
                if (metadata["deletionTimestamp"] is null)
                {
                    metadata["deletionGracePeriodSeconds"] = grace ?? (long?)json["spec"]!["terminationGracePeriodSeconds"] ?? 30;
                    metadata["deletionTimestamp"] = Now();
                    Put(path, json);
                }

                return true;
            }

            _objects.Remove(Key(path));
            _version++;
            Tell("DELETED", path, json);
            var uid = (string?)json["metadata"]!["uid"];
            foreach (var owned in orphans ? [] : _objects.Values.Where(o => IsOwned(o.Object, uid)).Select(o => o.Path).ToList())
            {
                Delete(owned);
            }

            return true;
        }
    }

    /// <summary>Every change from now on, and before that, where asked for, an ADDED for what is there.</summary>
    public ChannelReader<ClusterChange> Watch(bool fromStart, CancellationToken cancellation)
    {
        var channel = Channel.CreateBounded<ClusterChange>(MostUnread);
        lock (_gate)
        {
            foreach (var (path, json) in _objects.Values.Where(_ => fromStart))
            {
                channel.Writer.TryWrite(new ClusterChange("ADDED", path, Copy(json)));
            }

            _watchers.Add(channel);
        }

        cancellation.Register(() =>
        {
            lock (_gate)
            {
                _watchers.Remove(channel);
                channel.Writer.TryComplete();
            }
        });
        return channel.Reader;
    }

    private static bool IsOwned(JsonObject json, string? uid) =>
        json["metadata"]?["ownerReferences"] is JsonArray owners && owners.Any(o => (string?)o?["uid"] == uid);

    private static bool Same(JsonObject before, JsonObject after)
    {
        var (a, b) = (Copy(before), Copy(after));
        Metadata(a).Remove("resourceVersion");
        Metadata(b).Remove("resourceVersion");
        return JsonNode.DeepEquals(a, b);
    }

    private static JsonObject Metadata(JsonObject json)
    {
        if (json["metadata"] is not JsonObject metadata)
        {
            json["metadata"] = metadata = [];
        }

        return metadata;
    }

    /// <summary>Read anew, so that a number has no type yet, as in what comes over the wire.</summary>
    private static JsonObject Copy(JsonObject json) => JsonNode.Parse(json.ToJsonString())!.AsObject();

    private static string Key(ResourcePath path) => $"{path.Qualified}/{path.Namespace}/{path.Name}";

    private string Now() => time.GetUtcNow().ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);

    private void Tell(string type, ResourcePath path, JsonObject json)
    {
        var change = new ClusterChange(type, path with { Subresource = "" }, Copy(json));
        foreach (var watcher in _watchers.Where(w => !w.Writer.TryWrite(change)).ToList())
        {
            // As the server does with a client that does not read.
            _watchers.Remove(watcher);
            watcher.Writer.TryComplete();
        }
    }
}
