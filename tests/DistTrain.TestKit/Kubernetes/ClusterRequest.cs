using System.Text.Json.Nodes;

namespace DistTrain.TestKit.Kubernetes;

/// <summary>A request as the server understands it.</summary>
/// <param name="Verb">As roles name it: get, list, watch, create, update, patch, delete.</param>
/// <param name="Path">What it is about.</param>
/// <param name="IsDryRun">Whether nothing is to change.</param>
/// <param name="Body">The object that was sent; null for none.</param>
/// <param name="FieldManager">Who applies.</param>
/// <param name="IsForced">Whether fields of other managers are taken over.</param>
public sealed record ClusterRequest(string Verb, ResourcePath Path, bool IsDryRun, JsonObject? Body, string FieldManager, bool IsForced)
{
    /// <summary>Who asks, by the token that was sent; empty for none.</summary>
    public string Token { get; init; } = "";

    /// <summary>In one line, for a test to look for.</summary>
    public override string ToString() =>
        $"{Verb} {Path.Qualified}{(Path.Subresource.Length > 0 ? "/" + Path.Subresource : "")} {Path.Namespace}/{Path.Name}{(IsDryRun ? " (dry run)" : "")}";
}
