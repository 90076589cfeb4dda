namespace DistTrain.TestKit.Kubernetes;

/// <summary>What a request's path names: <c>/apis/GROUP/VERSION/namespaces/NAMESPACE/PLURAL/NAME/SUBRESOURCE</c>.</summary>
/// <param name="Group">The API group; empty for the core.</param>
/// <param name="Version">Its version.</param>
/// <param name="Namespace">The namespace; empty for all of them, or for an object that is in none.</param>
/// <param name="Plural">The resource, such as <c>pods</c>.</param>
/// <param name="Name">The object; empty for the collection.</param>
/// <param name="Subresource">Such as <c>scale</c> or <c>log</c>; empty for the object itself.</param>
public sealed record ResourcePath(string Group, string Version, string Namespace, string Plural, string Name, string Subresource)
{
    /// <summary>The resource as the server's messages name it, such as <c>jobs.batch</c>.</summary>
    public string Qualified => Group.Length == 0 ? Plural : $"{Plural}.{Group}";

    /// <summary>The group and version as objects state it.</summary>
    public string ApiVersion => Group.Length == 0 ? Version : $"{Group}/{Version}";

    /// <summary>The same path for an object of the collection.</summary>
    public ResourcePath Of(string name) => this with { Name = name };

    /// <summary>Reads a path; null for one that is none of these.</summary>
    public static ResourcePath? Parse(string path)
    {
        var parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        return parts switch
        {
            ["api", var version, .. var rest] => Below("", version, rest),
            ["apis", var group, var version, .. var rest] => Below(group, version, rest),
            _ => null,
        };
    }

    private static ResourcePath? Below(string group, string version, string[] rest) => rest switch
    {
        ["namespaces"] => new ResourcePath(group, version, "", "namespaces", "", ""),
        ["namespaces", var name] => new ResourcePath(group, version, "", "namespaces", name, ""),
        ["namespaces", var space, var plural] => new ResourcePath(group, version, space, plural, "", ""),
        ["namespaces", var space, var plural, var name] => new ResourcePath(group, version, space, plural, name, ""),
        ["namespaces", var space, var plural, var name, var sub] => new ResourcePath(group, version, space, plural, name, sub),
        [var plural] => new ResourcePath(group, version, "", plural, "", ""),
        _ => null,
    };
}
