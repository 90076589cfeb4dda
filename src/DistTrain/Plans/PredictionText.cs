using System.Text.Json.Nodes;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Views;

namespace DistTrain.Plans;

/// <summary>The predictions of a plan for people and for programs.</summary>
internal static class PredictionText
{
    /// <summary>A run of more years than this is as good as endless, and <see cref="TimeSpan"/> ends somewhere, too.</summary>
    private const double MostSeconds = 1000 * 365.25 * 86400;

    private static readonly (string Name, Func<MemoryModel, long> Of)[] Parts =
    [
        ("runtime", m => m.Runtime), ("weights", m => m.Weights), ("optimizer", m => m.Optimizer), ("nodes", m => m.Nodes), ("exchange", m => m.Exchange),
        ("checkpoint", m => m.Checkpoint), ("activations", m => m.Activations), ("total", m => m.Total),
    ];

    /// <summary>The tables, and what they mean.</summary>
    public static void Write(TextWriter output, RunPlan plan)
    {
        var predictions = plan.Predictions;
        output.WriteLine();
        output.WriteLine("Predicted on this machine");
        var costs = predictions.Any(p => p.Cost is not null);
        var table = new TextTable([
            "workers", "micro-batches each", "blocks", "step ms", "compute", "exchange", "update", "samples/s", "whole run", .. costs ? ["cost"] : Array.Empty<string>()]);
        foreach (var p in predictions)
        {
            table.Add([
                $"{p.Workers}", $"{p.MicroBatchesPerWorker:N0}", $"{p.Step.Batch.Blocks}", Ms(p.Time.Total), Ms(p.Time.Compute), Ms(p.Time.Exchange), Ms(p.Time.Update),
                $"{p.SamplesPerSecond:N0}", Span(p.Seconds), .. p.Cost is { } cost ? [$"{cost:N2}"] : Array.Empty<string>()]);
        }

        table.Write(output, "  ");
        output.WriteLine();
        output.WriteLine("Predicted peak memory of a worker, MB");
        var memory = new TextTable(["workers", .. Parts.Select(p => p.Name)]);
        foreach (var p in predictions)
        {
            memory.Add([$"{p.Workers}", .. Parts.Select(part => $"{part.Of(p.Memory) / 1e6:N1}")]);
        }

        memory.Write(output, "  ");
        output.WriteLine("  runtime: the program, libraries and data; activations: those of a micro-batch, and what libraries keep of freed memory.");
        output.WriteLine();
        foreach (var sentence in plan.Advice)
        {
            output.WriteLine($"- {sentence}");
        }
    }

    /// <summary>One object for each number of workers.</summary>
    public static JsonArray Json(RunPlan plan) => new([.. plan.Predictions.Select(p => new JsonObject
    {
        ["workers"] = p.Workers,
        ["microBatchesPerWorker"] = p.MicroBatchesPerWorker,
        ["blocks"] = p.Step.Batch.Blocks,
        ["stepSeconds"] = p.Time.Total,
        ["computeSeconds"] = p.Time.Compute,
        ["exchangeSeconds"] = p.Time.Exchange,
        ["updateSeconds"] = p.Time.Update,
        ["samplesPerSecond"] = p.SamplesPerSecond,
        ["memory"] = new JsonObject(Parts.Select(part => KeyValuePair.Create(part.Name, (JsonNode?)part.Of(p.Memory)))),
        ["hours"] = p.Seconds / 3600,
        ["cost"] = p.Cost,
    })]);

    private static string Ms(double seconds) => seconds >= 0.1 ? $"{seconds * 1000:N0}" : $"{seconds * 1000:N1}";

    private static string Span(double seconds) => seconds < MostSeconds ? Words.Span(TimeSpan.FromSeconds(seconds)) : "over 1,000 years";
}
