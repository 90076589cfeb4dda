using System.Text.Json;
using DistTrain.Records;

namespace DistTrain.Comparing;

/// <summary>One step of a run, or one evaluation, as the run's folder tells it: values as text, so that equal means equal bits.</summary>
/// <param name="Step">The step, or the one after which was evaluated.</param>
/// <param name="Fields">The values by name.</param>
internal sealed record TrajectoryPoint(long Step, IReadOnlyDictionary<string, string> Fields);

/// <summary>The steps and evaluations of a run that count: of one that was computed twice, the last line.</summary>
/// <param name="Path">The file of the steps.</param>
/// <param name="Steps">By step; at least one.</param>
/// <param name="Evaluations">By step; null where the run is told by its steps alone.</param>
/// <param name="Remarks">What was left out.</param>
internal sealed record Trajectory(
    string Path, SortedDictionary<long, TrajectoryPoint> Steps, SortedDictionary<long, TrajectoryPoint>? Evaluations, IReadOnlyList<string> Remarks)
{
    private const string StepFile = "metrics.jsonl";
    private const string EvaluationFile = "evaluations.jsonl";
    private const string MetricsField = "metrics";

    /// <summary>What decides whether two runs are the same. Times, workers and generations may differ between runs with the same bits.</summary>
    public static IReadOnlyList<string> Compared { get; } =
        ["weightsHash", "loss", "epoch", "samples", "globalBatch", "lr", "gradNorm", "skipped", "noiseScale", "confusion"];

    /// <summary>Reads a run's folder, or the file of its steps; one of them is there.</summary>
    /// <returns>The trajectory, or what is wrong with it, in a sentence.</returns>
    public static (Trajectory? Trajectory, string? Problem) Read(string run)
    {
        var isFolder = !File.Exists(run);
        var path = isFolder ? System.IO.Path.Combine(run, StepFile) : run;
        if (!File.Exists(path))
        {
            return (null, $"{run} holds no {StepFile}: it is not a run's folder, or no step was finished.");
        }

        var remarks = new List<string>();
        if (!TryRead(path, "step", ParseStep, remarks, out var steps, out var problem))
        {
            return (null, problem);
        }

        var evaluations = System.IO.Path.Combine(run, EvaluationFile);
        SortedDictionary<long, TrajectoryPoint>? evaluated = null;
        if (isFolder && File.Exists(evaluations) && !TryRead(evaluations, "evaluation", ParseEvaluation, remarks, out evaluated, out problem))
        {
            return (null, problem);
        }

        return steps.Count == 0 ? (null, $"{path} holds no steps.") : (new Trajectory(path, steps, evaluated, remarks), null);
    }

    private static bool TryRead(
        string path, string noun, Func<string, TrajectoryPoint?> parse, List<string> remarks, out SortedDictionary<long, TrajectoryPoint> points, out string? problem)
    {
        points = [];
        try
        {
            var file = LineFile<TrajectoryPoint>.Read(path, parse);
            foreach (var point in file.Lines)
            {
                points[point.Step] = point;
            }

            if (file.TornLine is { } torn)
            {
                remarks.Add($"{path} is torn: line {torn}, the last one, is left out, as a process that is killed may leave half a line.");
            }

            problem = file.DamagedLine is { } damaged
                ? $"{path} is damaged: line {damaged} is no {noun}'s line, and a process that is killed leaves none such before its last; use a copy that is whole."
                : null;
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            problem = $"{path} cannot be read: {refused.Message}";
        }

        return problem is null;
    }

    private static TrajectoryPoint? ParseStep(string line)
    {
        using var json = JsonDocument.Parse(line);
        var root = json.RootElement;
        return StepOf(root) is { } step && root.TryGetProperty("weightsHash", out _) ? new TrajectoryPoint(step, Fields(root)) : null;
    }

    private static TrajectoryPoint? ParseEvaluation(string line)
    {
        using var json = JsonDocument.Parse(line);
        var root = json.RootElement;
        if (StepOf(root) is not { } step || !root.TryGetProperty("loss", out _))
        {
            return null;
        }

        var fields = Fields(root);
        if (root.TryGetProperty(MetricsField, out var metrics) && metrics.ValueKind == JsonValueKind.Object)
        {
            foreach (var metric in metrics.EnumerateObject())
            {
                fields[metric.Name] = Text(metric.Value);
            }
        }

        return new TrajectoryPoint(step, fields);
    }

    private static long? StepOf(JsonElement root) =>
        root.ValueKind == JsonValueKind.Object && root.TryGetProperty("step", out var step) && step.ValueKind == JsonValueKind.Number && step.TryGetInt64(out var number)
            ? number
            : null;

    private static Dictionary<string, string> Fields(JsonElement root) =>
        Compared.Where(f => root.TryGetProperty(f, out _)).ToDictionary(f => f, f => Text(root.GetProperty(f)));

    private static string Text(JsonElement value) => value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText();
}
