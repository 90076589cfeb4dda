using System.Text.Json.Nodes;

namespace DistTrain.TestKit.Kubernetes;

/// <summary>A refusal as the API server words it: the HTTP code and the fields of its Status object.</summary>
/// <param name="Code">The HTTP code.</param>
/// <param name="Reason">The reason, one word.</param>
/// <param name="Message">The sentence.</param>
/// <param name="Details">What is named in the details; null for none.</param>
public sealed record StatusReply(int Code, string Reason, string Message, JsonObject? Details = null)
{
    /// <summary>The caller is not known, or not any more.</summary>
    public static StatusReply Unauthorized() => new(401, "Unauthorized", "Unauthorized");

    /// <summary>The caller may not do this.</summary>
    public static StatusReply Forbidden(string user, string verb, ResourcePath path)
    {
        var resource = path.Subresource.Length == 0 ? path.Plural : $"{path.Plural}/{path.Subresource}";
        var named = path.Name.Length == 0 ? path.Qualified : $"{path.Qualified} \"{path.Name}\"";
        return new StatusReply(
            403, "Forbidden",
            $"{named} is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{path.Group}\" in the namespace \"{path.Namespace}\"",
            Naming(path));
    }

    /// <summary>An admission plugin refuses the object: a quota, pod security, a webhook.</summary>
    public static StatusReply Refused(ResourcePath path, string why) =>
        new(403, "Forbidden", $"{path.Qualified} \"{path.Name}\" is forbidden: {why}", Naming(path));

    /// <summary>There is no such object.</summary>
    public static StatusReply NotFound(ResourcePath path) =>
        new(404, "NotFound", $"{path.Qualified} \"{path.Name}\" not found", Naming(path));

    /// <summary>There is no such namespace, so nothing can be created in it.</summary>
    public static StatusReply NoNamespace(string name) =>
        new(404, "NotFound", $"namespaces \"{name}\" not found", new JsonObject { ["name"] = name, ["kind"] = "namespaces" });

    /// <summary>There is one of that name.</summary>
    public static StatusReply Exists(ResourcePath path) =>
        new(409, "AlreadyExists", $"{path.Qualified} \"{path.Name}\" already exists", Naming(path));

    /// <summary>The object is not a valid one.</summary>
    public static StatusReply Invalid(string kind, ResourcePath path, string why) => new(
        422, "Invalid", $"{kind}{(path.Group.Length == 0 ? "" : "." + path.Group)} \"{path.Name}\" is invalid: {why}", Naming(path));

    /// <summary>A field is in no model.</summary>
    public static StatusReply UnknownField(string kind, ResourcePath path, string why) => new(
        500, "InternalError",
        $"failed to create typed patch object ({path.Namespace}/{path.Name}; {path.ApiVersion}, Kind={kind}): {why}: field not declared in schema");

    /// <summary>The request is none that is understood.</summary>
    public static StatusReply BadRequest(string why) => new(400, "BadRequest", why);

    /// <summary>The object, as it travels.</summary>
    public JsonObject ToJson() => new()
    {
        ["kind"] = "Status",
        ["apiVersion"] = "v1",
        ["metadata"] = new JsonObject(),
        ["status"] = "Failure",
        ["message"] = Message,
        ["reason"] = Reason,
        ["details"] = Details?.DeepClone(),
        ["code"] = Code,
    };

    private static JsonObject Naming(ResourcePath path) => new() { ["name"] = path.Name, ["group"] = path.Group, ["kind"] = path.Plural };
}
