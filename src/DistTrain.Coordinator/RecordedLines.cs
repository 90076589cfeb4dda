using System.Text.Json;

namespace DistTrain.Coordinator;

/// <summary>
/// What the folder of a run tells of its steps, evaluations and events: the last line of each step counts. Steps are known up to the first that has no line.
/// </summary>
internal sealed class RecordedLines
{
    private readonly SortedDictionary<long, StepRecord> _steps = [];
    private readonly SortedDictionary<long, EvaluationRecord> _evaluations = [];
    private readonly List<EventRecord> _events = [];

    private RecordedLines()
    {
    }

    /// <summary>The steps without a gap from 1 on.</summary>
    public IEnumerable<StepRecord> Steps => _steps.TakeWhile((step, index) => step.Key == index + 1).Select(step => step.Value);

    /// <summary>The evaluations, by step.</summary>
    public IEnumerable<EvaluationRecord> Evaluations => _evaluations.Values;

    /// <summary>What happened, in order.</summary>
    public IReadOnlyList<EventRecord> Events => _events;

    /// <summary>Reads a run's folder. Torn lines are passed over.</summary>
    public static RecordedLines Read(string folder)
    {
        var lines = new RecordedLines();
        foreach (var step in Lines<StepRecord>(Path.Combine(folder, "metrics.jsonl")))
        {
            lines._steps[step.Step] = step;
        }

        foreach (var evaluation in Lines<EvaluationRecord>(Path.Combine(folder, "evaluations.jsonl")))
        {
            lines._evaluations[evaluation.Step] = evaluation;
        }

        lines._events.AddRange(Lines<EventRecord>(Path.Combine(folder, "events.jsonl")));
        return lines;
    }

    private static IEnumerable<T> Lines<T>(string path)
        where T : class
    {
        if (!File.Exists(path))
        {
            yield break;
        }

        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var reader = new StreamReader(file);
        while (reader.ReadLine() is { } line)
        {
            if (Parse<T>(line) is { } value)
            {
                yield return value;
            }
        }
    }

    private static T? Parse<T>(string line)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize<T>(line, JsonLines.Options);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
