using System.Globalization;
using System.Text.Json.Nodes;

namespace DistTrain.TestKit.Kubernetes;

/// <summary>What the API server does with a request, once it is understood: the answer, or a refusal.</summary>
internal sealed class ApiVerbs(FakeCluster cluster)
{
    /// <summary>Answers a request.</summary>
    public (int Code, JsonObject? Body, StatusReply? Refusal) Answer(ClusterRequest request, LabelSelector? labels, FieldSelector? fields) => request switch
    {
        { Path.Subresource: "scale" } => Scale(request),
        { Verb: "get" } => Found(cluster.Find(request.Path), request.Path),
        { Verb: "list" } => (200, List(request.Path, labels, fields), null),
        { Verb: "create" } => Create(request),
        { Verb: "apply" } => Apply(request),
        { Verb: "patch" or "update" } => Change(request),
        { Verb: "delete" } => Delete(request),
        _ => (0, null, StatusReply.BadRequest($"the verb {request.Verb} is not served for {request.Path.Qualified}")),
    };

    private static (int Code, JsonObject? Body, StatusReply? Refusal) Found(JsonObject? json, ResourcePath path) =>
        json is null ? (0, null, StatusReply.NotFound(path)) : (200, json, null);

    private JsonObject List(ResourcePath path, LabelSelector? labels, FieldSelector? fields) => new()
    {
        ["kind"] = ResourceKinds.KindOf(path) + "List",
        ["apiVersion"] = path.ApiVersion,
        ["metadata"] = new JsonObject { ["resourceVersion"] = cluster.Version.ToString(CultureInfo.InvariantCulture) },
        ["items"] = new JsonArray([.. cluster.List(path, labels, fields)]),
    };

    private (int Code, JsonObject? Body, StatusReply? Refusal) Create(ClusterRequest request)
    {
        var metadata = request.Body?["metadata"] as JsonObject;
        var name = (string?)metadata?["name"] ?? ((string?)metadata?["generateName"] is { } prefix ? $"{prefix}{cluster.Version:x5}" : null);
        if (name is null)
        {
            return (0, null, StatusReply.BadRequest("name or generateName is required"));
        }

        var path = request.Path.Of(name);
        return Refusal(request, path) is { } refusal ? (0, null, refusal)
            : cluster.Find(path) is not null ? (0, null, StatusReply.Exists(path))
            : (201, request.IsDryRun ? request.Body : cluster.Put(path, request.Body!), null);
    }

    /// <summary>Server-side apply, for a cluster in which one manager owns all it applies: what is applied wins, lists are replaced.</summary>
    private (int Code, JsonObject? Body, StatusReply? Refusal) Apply(ClusterRequest request)
    {
        if (request.FieldManager.Length == 0)
        {
            return (0, null, new StatusReply(
                422, "Invalid", "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"));
        }

        if (Refusal(request, request.Path) is { } refusal)
        {
            return (0, null, refusal);
        }

        var before = cluster.Find(request.Path);
        var after = before?.DeepClone().AsObject() ?? [];
        Merge(after, request.Body!);
        if (before is not null && Immutable(request.Path, before, after) is { } why)
        {
            return (0, null, StatusReply.Invalid(ResourceKinds.KindOf(request.Path)!, request.Path, why));
        }

        return (before is null ? 201 : 200, request.IsDryRun ? after : cluster.Put(request.Path, after), null);
    }

    private (int Code, JsonObject? Body, StatusReply? Refusal) Change(ClusterRequest request)
    {
        if (cluster.Find(request.Path) is not { } json)
        {
            return (0, null, StatusReply.NotFound(request.Path));
        }

        var patch = request.Body!;
        if (request.Path.Subresource == "status")
        {
            patch = new JsonObject { ["status"] = patch["status"]?.DeepClone() };
        }

        if (request.Verb == "update")
        {
            json = patch.DeepClone().AsObject();
        }
        else
        {
            Merge(json, patch);
        }

        return ResourceKinds.Mistake(request.Path, json) is { } wrong
            ? (0, null, StatusReply.BadRequest($"{ResourceKinds.KindOf(request.Path)} in version \"{request.Path.Version}\" cannot be handled as a "
                + $"{ResourceKinds.KindOf(request.Path)}: strict decoding error: {wrong}"))
            : (200, request.IsDryRun ? json : cluster.Put(request.Path, json), null);
    }

    private (int Code, JsonObject? Body, StatusReply? Refusal) Delete(ClusterRequest request)
    {
        if (cluster.Find(request.Path) is not { } json)
        {
            return (0, null, StatusReply.NotFound(request.Path));
        }

        if (!request.IsDryRun)
        {
            // The API of Jobs leaves pods behind where a client does not say otherwise; kubectl always does.
            var propagation = (string?)request.Body?["propagationPolicy"] ?? (request.Path.Qualified == "jobs.batch" ? "Orphan" : "Background");
            cluster.Delete(request.Path, propagation == "Orphan", (long?)request.Body?["gracePeriodSeconds"]);
        }

        // Of some resources the server returns the object, as the models expect it.
        return request.Path.Plural is "pods" or "services" or "serviceaccounts" or "persistentvolumeclaims"
            ? (200, json, null)
            : (200, new JsonObject { ["kind"] = "Status", ["apiVersion"] = "v1", ["metadata"] = new JsonObject(), ["status"] = "Success" }, null);
    }

    private (int Code, JsonObject? Body, StatusReply? Refusal) Scale(ClusterRequest request)
    {
        var whole = request.Path with { Subresource = "" };
        if (cluster.Find(whole) is not { } json)
        {
            return (0, null, StatusReply.NotFound(whole));
        }

        if (request.Verb is "patch" or "update")
        {
            if (request.Body?["spec"]?["replicas"] is not JsonValue wanted || !wanted.TryGetValue<int>(out var replicas) || replicas < 0)
            {
                return (0, null, StatusReply.Invalid("Scale", whole with { Group = "autoscaling" }, "spec.replicas: Invalid value: must be greater than or equal to 0"));
            }

            json = request.IsDryRun ? json : cluster.Change(whole, o => o["spec"]!["replicas"] = replicas) ?? json;
        }

        return (200, new JsonObject
        {
            ["kind"] = "Scale",
            ["apiVersion"] = "autoscaling/v1",
            ["metadata"] = new JsonObject { ["name"] = whole.Name, ["namespace"] = whole.Namespace },
            ["spec"] = new JsonObject { ["replicas"] = json["spec"]?["replicas"]?.DeepClone() ?? 1 },
            ["status"] = new JsonObject { ["replicas"] = json["status"]?["replicas"]?.DeepClone() ?? 0 },
        }, null);
    }

    private StatusReply? Refusal(ClusterRequest request, ResourcePath path) =>
        !cluster.HasNamespace(path.Namespace) ? StatusReply.NoNamespace(path.Namespace)
        : ResourceKinds.Mistake(path, request.Body!) is { } wrong ? StatusReply.UnknownField(ResourceKinds.KindOf(path)!, path, wrong)
        : null;

    private static string? Immutable(ResourcePath path, JsonObject before, JsonObject after) => path.Qualified switch
    {
        "jobs.batch" when !JsonNode.DeepEquals(before["spec"]?["template"], after["spec"]?["template"]) =>
            "spec.template: Invalid value: core.PodTemplateSpec{}: field is immutable",
        "deployments.apps" when !JsonNode.DeepEquals(before["spec"]?["selector"], after["spec"]?["selector"]) =>
            "spec.selector: Invalid value: v1.LabelSelector{}: field is immutable",
        "persistentvolumeclaims" when !JsonNode.DeepEquals(before["spec"]?["accessModes"], after["spec"]?["accessModes"]) =>
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        _ => null,
    };

    /// <summary>A JSON merge patch: RFC 7396.</summary>
    private static void Merge(JsonObject into, JsonObject patch)
    {
        foreach (var (key, value) in patch)
        {
            if (value is null)
            {
                into.Remove(key);
            }
            else if (value is JsonObject inner && into[key] is JsonObject target)
            {
                Merge(target, inner);
            }
            else
            {
                into[key] = value.DeepClone();
            }
        }
    }
}
