using System.Text.Json;

namespace DistTrain.Comparing;

/// <summary>One step of a run as its metrics tell it: values as text, so that equal means equal bits.</summary>
internal sealed record TrajectoryStep(long Step, IReadOnlyDictionary<string, string> Fields);

/// <summary>The steps of a run that count, read from <c>metrics.jsonl</c>: of a step that was computed twice, the last line.</summary>
/// <param name="Path">The file.</param>
/// <param name="Steps">By step.</param>
internal sealed record Trajectory(string Path, SortedDictionary<long, TrajectoryStep> Steps)
{
    private const string File = "metrics.jsonl";

    /// <summary>What decides whether two runs are the same. Times, workers and generations may differ between runs with the same bits.</summary>
    public static IReadOnlyList<string> Compared { get; } =
        ["weightsHash", "loss", "epoch", "samples", "globalBatch", "lr", "gradNorm", "skipped", "noiseScale"];

    /// <summary>Reads a run's folder, or the file itself; one of them is there.</summary>
    /// <returns>The steps, or what is wrong with the file, in a sentence.</returns>
    public static (Trajectory? Trajectory, string? Problem) Read(string run)
    {
        var path = System.IO.File.Exists(run) ? run : System.IO.Path.Combine(run, File);
        if (!System.IO.File.Exists(path))
        {
            return (null, $"{run} holds no {File}: it is not a run's folder, or no step was finished.");
        }

        try
        {
            var steps = new SortedDictionary<long, TrajectoryStep>();
            var number = 0;
            foreach (var line in System.IO.File.ReadLines(path))
            {
                number++;
                if (Parse(line) is not { } step)
                {
                    return (null, $"{path} is torn: line {number} is no step's line; compare a run that was ended in order.");
                }

                steps[step.Step] = step;
            }

            return steps.Count == 0 ? (null, $"{path} holds no steps.") : (new Trajectory(path, steps), null);
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            return (null, $"{path} cannot be read: {refused.Message}");
        }
    }

    private static TrajectoryStep? Parse(string line)
    {
        try
        {
            using var json = JsonDocument.Parse(line);
            var root = json.RootElement;
            return root.ValueKind == JsonValueKind.Object
                && root.TryGetProperty("step", out var step) && step.ValueKind == JsonValueKind.Number && step.TryGetInt64(out var number)
                && root.TryGetProperty("weightsHash", out _)
                ? new TrajectoryStep(number, Compared.Where(f => root.TryGetProperty(f, out _)).ToDictionary(f => f, f => Text(root.GetProperty(f))))
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string Text(JsonElement value) => value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText();
}
