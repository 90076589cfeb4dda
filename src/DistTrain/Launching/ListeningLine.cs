using System.Text.Json;
using System.Text.Json.Nodes;

namespace DistTrain.Launching;

/// <summary>The first line of <c>coordinator --json</c>: where it listens, for whoever started it.</summary>
internal static class ListeningLine
{
    /// <summary>The line.</summary>
    public static string Write(string address) => new JsonObject { ["listening"] = address }.ToJsonString();

    /// <summary>The address in a line, or null where the line is another one.</summary>
    public static Uri? Read(string? line)
    {
        try
        {
            return line is not null && JsonNode.Parse(line) is JsonObject o && o["listening"] is JsonValue value
                && value.TryGetValue<string>(out var address) && Uri.TryCreate(address, UriKind.Absolute, out var uri) ? uri : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
