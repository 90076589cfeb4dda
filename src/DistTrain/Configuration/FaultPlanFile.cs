using DistTrain.Core.Faults;

namespace DistTrain.Configuration;

/// <summary>A plan of faults as a YAML file.</summary>
internal static class FaultPlanFile
{
    /// <summary>Reads a plan.</summary>
    /// <param name="path">The file.</param>
    /// <param name="workers">With how many workers the run begins.</param>
    /// <returns>The plan, usable only where there are no problems, and every mistake as a sentence.</returns>
    public static (FaultPlan? Plan, IReadOnlyList<string> Problems) Read(string path, int workers)
    {
        if (!File.Exists(path))
        {
            var what = Directory.Exists(path) ? "is a folder" : path.Length == 0 ? "is empty" : "does not exist";
            return (null, [$"--faults '{path}' {what}: give the path of a YAML file with a plan of faults."]);
        }

        try
        {
            using var reader = new StreamReader(path);
            var buffer = new char[YamlTable.MaxLength + 1];
            return Parse(new string(buffer, 0, reader.ReadBlock(buffer)), path, workers);
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            return (null, [$"{path} cannot be read: {refused.Message}"]);
        }
    }

    /// <summary>Reads a plan's text.</summary>
    public static (FaultPlan? Plan, IReadOnlyList<string> Problems) Parse(string text, string file, int workers)
    {
        var yaml = YamlTable.Read(text, file, lists: true);
        var values = yaml.Entries.ToDictionary(e => e.Key, e => e.Value ?? "");
        var (plan, found) = FaultPlanReader.Read(values, workers);
        List<string> problems =
        [
            .. yaml.Problems,
            .. found.Select(p => p.Value is null
                ? $"{file}{Where(yaml, p.Key)}: {p.Key} is not set: {p.Remedy}."
                : $"{file}{Where(yaml, p.Key)}: {p.Key} is '{p.Value}': {p.Remedy}."),
        ];
        return (problems.Count == 0 ? plan : null, problems);
    }

    /// <summary>The line of a key; of one that is not set, of what stands beside it.</summary>
    private static string Where(YamlTable yaml, string key)
    {
        for (var part = key; part.Length > 0; part = part[..Math.Max(part.LastIndexOf('.'), 0)])
        {
            var entry = yaml.Entries.FirstOrDefault(e => e.Key.Equals(part, StringComparison.OrdinalIgnoreCase))
                ?? yaml.Entries.FirstOrDefault(e => e.Key.StartsWith(part + ".", StringComparison.OrdinalIgnoreCase));
            if (entry is not null)
            {
                return $", line {entry.Line}";
            }
        }

        return "";
    }
}
