using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DistTrain.Protocol.Faults;

/// <summary>What a process says on standard output just before a fault comes to pass: it may not be able to say anything afterwards.</summary>
/// <param name="Fault">Its number in the plan.</param>
/// <param name="Step">The step under way.</param>
/// <param name="Time">When.</param>
public sealed record FaultNotice(int Fault, long Step, DateTimeOffset Time)
{
    /// <summary>The line.</summary>
    public string Write() =>
        new JsonObject { ["fault"] = Fault, ["step"] = Step, ["time"] = Time.ToString("O", CultureInfo.InvariantCulture) }.ToJsonString();

    /// <summary>The notice in a line; null where the line is another one.</summary>
    public static FaultNotice? Read(string line)
    {
        if (!line.StartsWith("{\"fault\":", StringComparison.Ordinal))
        {
            return null;
        }

        try
        {
            var parsed = JsonNode.Parse(line)!;
            return new FaultNotice(
                (int)parsed["fault"]!, (long)parsed["step"]!, DateTimeOffset.Parse((string)parsed["time"]!, CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException or NullReferenceException)
        {
            return null;
        }
    }
}
