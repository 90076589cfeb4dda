using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTrain.Core.Runs;
using DistTrain.Launching;

namespace DistTrain.Views;

/// <summary>The last word of a run: its summary as a table, or as one JSON object.</summary>
internal static class RunSummary
{
    private const int MostMistakes = 3;
    private static readonly JsonSerializerOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes it.</summary>
    /// <param name="output">Where it goes.</param>
    /// <param name="result">How the run ended.</param>
    /// <param name="folder">Its folder; null where it has none, as no run began.</param>
    /// <param name="json">Whether it is for programs.</param>
    public static void Write(TextWriter output, LocalRunResult result, string? folder, bool json)
    {
        var summary = Read(result.SummaryJson);
        summary["status"] ??= result.WasStopped ? "stopped" : result.Success ? "finished" : "failed";
        if (folder is not null)
        {
            summary["folder"] = folder;
        }

        if (json)
        {
            summary.Insert(0, "event", "summary");
            if (!result.Success)
            {
                summary["sentence"] = result.Sentence;
            }

            output.WriteLine(summary.ToJsonString(Compact));
        }
        else
        {
            Table(summary).Write(output);
        }

        output.Flush();
    }

    private static TextTable Table(JsonObject summary)
    {
        var table = new TextTable();
        Row("status", summary["status"]);
        Row("steps", summary["steps"]);
        Row("samples", summary["samples"]);
        Row("final loss", summary["finalLoss"]);
        foreach (var (metric, value) in summary["validation"] as JsonObject ?? [])
        {
            Row($"validation {metric}", value);
        }

        if (summary["confusion"].Deserialize<ConfusionMatrix>(JsonSerializerOptions.Web) is { } confusion)
        {
            table.Add("confused most", confusion.Sentence(MostMistakes));
        }

        if (summary["noiseScale"] is JsonObject noise)
        {
            Row("noise scale", (noise["preconditioned"] ?? noise)["advice"]);
        }

        Row("samples/s", summary["samplesPerSecond"]);
        Row("wall time", summary["wallSeconds"] is JsonValue v && v.TryGetValue<double>(out var s) ? Words.Span(TimeSpan.FromSeconds(s)) : null);
        Row("weights SHA-256", summary["weightsSha256"]);
        Row("folder", summary["folder"]);
        return table;

        void Row(string name, JsonNode? value)
        {
            if (value is JsonValue scalar)
            {
                table.Add(name, Text(scalar));
            }
        }
    }

    private static string Text(JsonValue value) =>
        value.TryGetValue<long>(out var whole) ? whole.ToString("N0")
        : value.TryGetValue<double>(out var number) ? (Math.Abs(number) >= 1000 ? number.ToString("N0") : Words.Number(number))
        : value.ToString();

    private static JsonObject Read(string? json)
    {
        try
        {
            return string.IsNullOrEmpty(json) ? [] : JsonNode.Parse(json) as JsonObject ?? [];
        }
        catch (JsonException)
        {
            return [];
        }
    }
}
