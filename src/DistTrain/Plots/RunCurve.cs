using System.Text.Json.Nodes;
using DistTrain.Records;

namespace DistTrain.Plots;

/// <summary>One quantity of a run, as its folder tells it.</summary>
/// <param name="Points">By rising samples or steps; at least one, all finite.</param>
internal sealed record RunCurve(IReadOnlyList<(double Across, double Up)> Points)
{
    /// <summary>What a quantity of the evaluations begins with; others are those of the steps.</summary>
    public const string Validation = "validation.";

    /// <summary>Nobody sees more points than these: neighbours become their mean.</summary>
    public const int MostPoints = 200;

    private const string StepFile = "metrics.jsonl";
    private const string EvaluationFile = "evaluations.jsonl";
    private const string StepField = "step";
    private const string SamplesField = "samples";
    private const string MetricsField = "metrics";

    /// <summary>Reads a quantity of a run. Of a step that was computed twice the last line counts.</summary>
    /// <param name="folder">The run's folder.</param>
    /// <param name="value">The name of a number in the lines of steps, or <see cref="Validation"/> and one in those of evaluations.</param>
    /// <param name="overSteps">Whether it is over the steps; over the samples used where not.</param>
    /// <returns>The curve, or what keeps it from being drawn, in a sentence.</returns>
    public static (RunCurve? Curve, string? Problem) Read(string folder, string value, bool overSteps)
    {
        try
        {
            var (steps, problem) = Lines(folder, StepFile);
            var (evaluations, wrong) = problem is null && IsOfValidation(value) ? Lines(folder, EvaluationFile) : (null, problem);
            return wrong is null ? Of(folder, value, overSteps, steps!, evaluations) : (null, wrong);
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            return (null, $"{folder} cannot be read: {refused.Message}");
        }
    }

    /// <summary>The same curve with so few points that each can be seen.</summary>
    public static IReadOnlyList<(double Across, double Up)> Thin(IReadOnlyList<(double Across, double Up)> points) =>
        [.. points.Chunk(Math.Max(1, (points.Count + MostPoints - 1) / MostPoints)).Select(c => (c.Average(p => p.Across), c.Average(p => p.Up)))];

    private static bool IsOfValidation(string value) => value.StartsWith(Validation, StringComparison.Ordinal);

    private static (RunCurve? Curve, string? Problem) Of(
        string folder, string value, bool overSteps, SortedDictionary<long, JsonObject> steps, SortedDictionary<long, JsonObject>? evaluations)
    {
        var numbers = (evaluations ?? steps).Select(l => (Step: l.Key, Line: Numbers(l.Value, evaluations is not null))).ToList();
        var points = new List<(double, double)>();
        foreach (var (step, line) in numbers)
        {
            if (line.TryGetValue(value, out var up) && Across(step) is { } across)
            {
                points.Add((across, up));
            }
        }

        return points.Count > 0
            ? (new RunCurve(Thin(points)), null)
            : (null, $"{folder} has no numbers called {value}: give one of {string.Join(", ", numbers.SelectMany(n => n.Line.Keys).Distinct().Order(StringComparer.Ordinal))}.");

        double? Across(long step) =>
            overSteps ? step : step == 0 ? 0 : steps.TryGetValue(step, out var line) && Number(line[SamplesField]) is { } samples ? samples : null;
    }

    /// <summary>The numbers of a line by the names that a user gives them.</summary>
    private static Dictionary<string, double> Numbers(JsonObject line, bool isOfValidation)
    {
        IEnumerable<KeyValuePair<string, JsonNode?>> fields = line;
        if (isOfValidation && line[MetricsField] is JsonObject metrics)
        {
            fields = fields.Concat(metrics);
        }

        var numbers = new Dictionary<string, double>();
        foreach (var (name, node) in fields)
        {
            // Of an evaluation these say where it stands, and how many samples it had.
            if (name != StepField && !(isOfValidation && name == SamplesField) && Number(node) is { } number)
            {
                numbers[isOfValidation ? Validation + name : name] = number;
            }
        }

        return numbers;
    }

    private static double? Number(JsonNode? node) => node is JsonValue value && value.TryGetValue<double>(out var number) && double.IsFinite(number) ? number : null;

    private static (SortedDictionary<long, JsonObject>? Lines, string? Problem) Lines(string folder, string name)
    {
        var path = Path.Combine(folder, name);
        if (!File.Exists(path))
        {
            return (null, $"{folder} holds no {name}: it is not a run's folder, or the run has not come so far.");
        }

        var file = LineFile<JsonObject>.Read(path, line => JsonNode.Parse(line) is JsonObject json && Number(json[StepField]) is not null ? json : null);
        if (file.DamagedLine is { } damaged)
        {
            return (null, $"{path} is damaged at line {damaged}; use a copy that is whole.");
        }

        var lines = new SortedDictionary<long, JsonObject>();
        foreach (var line in file.Lines)
        {
            lines[(long)Number(line[StepField])!.Value] = line;
        }

        return lines.Count > 0 ? (lines, null) : (null, $"{path} holds no lines: the run has not come so far.");
    }
}
