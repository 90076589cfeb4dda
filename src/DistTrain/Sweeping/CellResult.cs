using System.Text.Json.Nodes;
using DistTrain.Core.BatchScience;
using DistTrain.Records;

namespace DistTrain.Sweeping;

/// <summary>What a run of a sweep left in its folder.</summary>
/// <param name="Outcome">What the comparison goes by.</param>
/// <param name="Seconds">The seconds that its steps took until each evaluation.</param>
/// <param name="Steps">All steps.</param>
/// <param name="Metrics">The last evaluation's metrics, such as accuracy.</param>
/// <param name="WallSeconds">From its first process to its last, of the last time that it was started.</param>
/// <param name="SamplesPerSecond">While it trained.</param>
/// <param name="PeakBytes">The most memory that its worker held.</param>
internal sealed record CellResult(
    CellOutcome Outcome, IReadOnlyList<double> Seconds, long Steps, IReadOnlyDictionary<string, double> Metrics, double WallSeconds, double SamplesPerSecond, long PeakBytes)
{
    /// <summary>The seconds that its steps took up to a reading.</summary>
    public double? SecondsTo(TargetReading? reading)
    {
        if (reading is not { } at)
        {
            return null;
        }

        var next = Outcome.Evaluations.TakeWhile(e => e.Step < at.Steps - 1e-9).Count();
        var (fromStep, fromSeconds) = next == 0 ? (0, 0) : (Outcome.Evaluations[next - 1].Step, Seconds[next - 1]);
        return fromSeconds + ((at.Steps - fromStep) / (Outcome.Evaluations[next].Step - fromStep) * (Seconds[next] - fromSeconds));
    }

    /// <summary>Whether a failed run ended because its gradients were not finite any more.</summary>
    public static bool HasDiverged(string folder) => Read(folder, "metrics.jsonl")?.Lines is [.., var last] && last["skipped"] is JsonValue value && value.TryGetValue<bool>(out var skipped) && skipped;

    /// <summary>The lowest validation loss of a run; infinite where it has none.</summary>
    public static double LowestLoss(string folder) =>
        (Read(folder, "evaluations.jsonl")?.Lines ?? []).Select(l => Number(l["loss"], double.PositiveInfinity)).DefaultIfEmpty(double.PositiveInfinity).Min();

    /// <summary>Reads a folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="cell">The run.</param>
    /// <param name="startLoss">The validation loss that it began with; null where that is not known.</param>
    /// <exception cref="SweepException">It is damaged.</exception>
    public static CellResult Read(string folder, SweepCell cell, double? startLoss = null)
    {
        try
        {
            return ReadWhole(folder, cell, startLoss);
        }
        catch (Exception damaged) when (damaged is IOException or UnauthorizedAccessException or InvalidOperationException or FormatException or NullReferenceException)
        {
            throw new SweepException($"The run in {folder} cannot be read: {damaged.Message} Delete the folder, and it is trained anew.");
        }
    }

    private static CellResult ReadWhole(string folder, SweepCell cell, double? startLoss)
    {
        // Of a step that was computed twice the last line counts.
        var steps = new SortedDictionary<long, JsonNode>();
        foreach (var line in Lines(folder, "metrics.jsonl"))
        {
            steps[(long)line["step"]!] = line;
        }

        var evaluated = new SortedDictionary<long, JsonNode>();
        foreach (var line in Lines(folder, "evaluations.jsonl").Where(l => steps.ContainsKey((long)l["step"]!)))
        {
            evaluated[(long)line["step"]!] = line;
        }

        var (points, seconds, total, at) = (new List<LossPoint>(), new List<double>(), 0.0, 0L);
        if (startLoss is { } loss)
        {
            points.Add(new LossPoint(0, 0, loss));
            seconds.Add(0);
        }

        foreach (var (step, line) in evaluated)
        {
            for (; at < step; at++)
            {
                total += steps.TryGetValue(at + 1, out var taken) ? Number(taken["stepMs"], 0) / 1000 : 0;
            }

            points.Add(new LossPoint(step, (long)steps[step]["samples"]!, Number(line["loss"], double.NaN)));
            seconds.Add(total);
        }

        var summary = CellFolder.Summary(folder);
        var from = points.Count > 1 ? points[^2].Step : 0;
        var lately = steps.Where(s => s.Key > from && (bool?)s.Value["skipped"] != true).Select(s => (Loss: Number(s.Value["loss"], double.NaN), Batch: (double)(long)s.Value["globalBatch"]!)).ToList();
        return new CellResult(
            new CellOutcome(
                cell, points, (string?)summary?["status"] == "failed" && HasDiverged(folder),
                lately.Count == 0 ? double.NaN : lately.Sum(s => s.Loss * s.Batch) / lately.Sum(s => s.Batch),

                // The first step is taken with the model that the run began with.
                startLoss ?? (steps.TryGetValue(1, out var first) && Number(first["loss"], double.NaN) is var began && double.IsFinite(began) ? began : null)),
            seconds,
            steps.Count == 0 ? 0 : steps.Keys.Max(),
            evaluated.Count == 0
                ? new Dictionary<string, double>()
                : (evaluated.Values.Last()["metrics"] as JsonObject ?? []).ToDictionary(m => m.Key, m => Number(m.Value, double.NaN)),
            Number(summary?["wallSeconds"], double.NaN),
            Number(summary?["samplesPerSecond"], double.NaN),
            (long)Number(summary?["peakRssBytes"]?["worker"], 0));
    }

    private static double Number(JsonNode? node, double otherwise) => node is JsonValue value && value.TryGetValue<double>(out var number) ? number : otherwise;

    private static IReadOnlyList<JsonNode> Lines(string folder, string file) => Read(folder, file) switch
    {
        null => [],
        { DamagedLine: { } damaged } => throw new FormatException($"Line {damaged} of {file} is damaged."),
        var lines => lines.Lines,
    };

    private static LineFile<JsonNode>? Read(string folder, string file) =>
        Path.Combine(folder, file) is var path && File.Exists(path) ? LineFile<JsonNode>.Read(path, line => JsonNode.Parse(line)) : null;
}
