using System.Globalization;
using System.Text.Json;
using DistTrain.Configuration;
using DistTrain.Coordinator;
using DistTrain.Core.Journals;
using DistTrain.Core.Options;
using DistTrain.Records;

namespace DistTrain.Auditing;

/// <summary>Reads a run's folder, whatever state it is in.</summary>
internal sealed class EvidenceReader(string folder)
{
    private readonly List<string> _missing = [];

    /// <summary>Whether a folder holds anything by which it can be told to be a run's.</summary>
    public static bool IsOfRun(string folder) => new[] { "config.yaml", "metrics.jsonl", "summary.json" }.Select(name => Path.Combine(folder, name)).Append(CoordinatorHost.JournalIn(folder)).Any(File.Exists);

    /// <summary>Reads what is there.</summary>
    /// <exception cref="IOException">The folder cannot be read.</exception>
    public RunEvidence Read()
    {
        var (options, problems) = ReadConfiguration();
        var (summary, summaryProblem) = ReadSummary();
        var journal = CoordinatorHost.JournalIn(folder);
        return new RunEvidence
        {
            Options = options,
            ConfigurationProblems = problems,
            Steps = ReadLines<StepLine>("metrics.jsonl"),
            Evaluations = ReadLines<EvaluationLine>("evaluations.jsonl"),
            Workers = ReadLines<WorkerLine>("workers.jsonl"),
            Plans = ReadLines<PlanLine>("plans.jsonl"),
            Reissues = ReadLines<ReissueLine>("reissues.jsonl"),
            Events = ReadLines<EventLine>("events.jsonl"),
            Summary = summary,
            SummaryProblem = summaryProblem,
            Checkpoints = [.. ReadCheckpoints()],
            Leftovers = [.. Leftovers().Select(f => Path.GetRelativePath(folder, f)).Order(StringComparer.Ordinal)],
            Journal = File.Exists(journal) ? JournalText.Read(File.ReadAllBytes(journal)) : null,
            Missing = _missing,
        };
    }

    /// <summary>What is being written, or taken away, has a name by which nobody takes it for what it is to become.</summary>
    private IEnumerable<string> Leftovers() =>
        from entry in Directory.EnumerateFileSystemEntries(folder, "*", SearchOption.AllDirectories)
        where Path.GetExtension(entry) is ".tmp" or ".old"
        select entry;

    private string At(string name) => Path.Combine(folder, name);

    /// <summary>The keys of the run itself. Those of its task are the task's to judge, which an audit does not need.</summary>
    private (RunOptions? Options, IReadOnlyList<string> Problems) ReadConfiguration()
    {
        const string name = "config.yaml";
        if (!TryReadText(name, out var text))
        {
            return (null, [$"{name} is missing or cannot be read: nothing says what the run should have done."]);
        }

        var yaml = YamlTable.Read(text, name);
        if (yaml.Problems.Count > 0)
        {
            return (null, yaml.Problems);
        }

        var values = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var entry in yaml.Entries.Where(e => e.Value is not null))
        {
            values[entry.Key] = entry.Value!;
        }

        var (options, problems) = OptionsReader.ReadRun(values);
        return problems.Count == 0 ? (options, []) : (null, [.. problems.Select(p => $"{name}: {p}")]);
    }

    private (SummaryText? Summary, string? Problem) ReadSummary()
    {
        const string name = "summary.json";
        if (!File.Exists(At(name)))
        {
            return (null, null);
        }

        try
        {
            return TryReadText(name, out var text) && EvidenceJson.Parse<SummaryText>(text) is { } summary ? (summary, null) : (null, $"{name} cannot be read.");
        }
        catch (JsonException damaged)
        {
            return (null, $"{name} is damaged: {damaged.Message}");
        }
    }

    private LineFile<T> ReadLines<T>(string name)
        where T : class
    {
        try
        {
            return LineFile<T>.Read(At(name), EvidenceJson.Parse<T>) with { Path = name };
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            _missing.Add(File.Exists(At(name)) ? $"{name} cannot be read: {refused.Message}" : $"{name} is missing.");
            return new LineFile<T>(name, [], null, null);
        }
    }

    private IEnumerable<CheckpointEvidence> ReadCheckpoints()
    {
        const string prefix = "step-";
        if (!Directory.Exists(At("checkpoints")))
        {
            yield break;
        }

        foreach (var path in Directory.EnumerateDirectories(At("checkpoints"), prefix + "*").Order(StringComparer.Ordinal))
        {
            var name = Path.GetFileName(path);
            if (long.TryParse(name.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var step))
            {
                var manifest = ReadManifest(path);
                yield return new CheckpointEvidence
                {
                    Name = $"checkpoints/{name}",
                    Step = step,
                    Manifest = manifest,
                    Files = [.. (manifest?.Files ?? []).Select(f => CheckpointFileReader.Read(path, f.Name))],
                };
            }
        }
    }

    private static ManifestText? ReadManifest(string checkpoint)
    {
        try
        {
            return EvidenceJson.Parse<ManifestText>(File.ReadAllText(Path.Combine(checkpoint, "manifest.json")));
        }
        catch (Exception damaged) when (damaged is JsonException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private bool TryReadText(string name, out string text)
    {
        try
        {
            text = File.ReadAllText(At(name));
            return true;
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            text = "";
            return false;
        }
    }
}
