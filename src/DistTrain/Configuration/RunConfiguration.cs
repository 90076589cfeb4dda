using DistTrain.Core.Options;
using DistTrain.Training.Tasks;

namespace DistTrain.Configuration;

/// <summary>Where a configuration comes from, lowest layer first.</summary>
internal sealed record ConfigurationRequest
{
    /// <summary>A recipe's name or a file's path; null for the program's default recipe.</summary>
    public string? Source { get; init; }

    /// <summary>Environment variables; those that start with <see cref="RunConfiguration.Prefix"/> count.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>The values of <c>--set</c>, each KEY=VALUE.</summary>
    public IReadOnlyList<string> Sets { get; init; } = [];

    /// <summary>Options of the command line that stand for a key: (option, key, value).</summary>
    public IReadOnlyList<(string Option, string Key, string Value)> Flags { get; init; } = [];
}

/// <summary>A configuration read from all its layers: the options, or everything that is wrong with them.</summary>
/// <param name="Options">The options; usable only where there are no problems.</param>
/// <param name="Problems">Every mistake of every layer, each a sentence with key, value, layer and remedy.</param>
internal sealed record RunConfiguration(RunOptions Options, IReadOnlyList<string> Problems)
{
    /// <summary>What the layers say, as they say it: no defaults, and paths that mean another machine's files unchanged.</summary>
    public IReadOnlyDictionary<string, string> Given { get; init; } = new Dictionary<string, string>();

    /// <summary>The text of the file or recipe; null where none was read.</summary>
    public string? Text { get; init; }

    /// <summary>Whether environment or command line say anything beside the file.</summary>
    public bool IsChanged { get; init; }

    /// <summary>What a variable that sets a key starts with: <c>DISTTRAIN__BATCH__GLOBAL</c> is <c>batch.global</c>.</summary>
    public const string Prefix = "DISTTRAIN__";

    private const string DataPath = $"data.{DataLocation.PathKey}";

    /// <summary>Reads file or recipe, environment, and command line, and checks the result against the catalog.</summary>
    public static RunConfiguration Read(ConfigurationRequest request, RecipeShelf recipes, TaskCatalog tasks)
    {
        var table = new LayeredTable();
        var problems = new List<string>();
        var (whole, text) = PourFile(request.Source, recipes, table, problems);
        PourEnvironment(request.Environment, table, problems);
        PourCommandLine(request, table, problems);
        RefuseValuesForSections(table, problems);
        var given = table.Values;
        ResolveDataPath(table);

        var (options, found) = OptionsReader.ReadRun(table.Values);
        var all = found.Any(p => p.Key == "task") ? found : [.. found, .. tasks.Check(options)];

        // Of a file that could not be read to its end nobody knows what it leaves out.
        foreach (var problem in all.Where(p => whole || table.LayerOf(p.Key) is not null))
        {
            var layer = table.LayerOf(problem.Key);
            problems.Add(layer is null || problem.Value is null ? problem.ToString() : $"{problem.Key} is '{problem.Value}' ({layer}): {problem.Remedy}.");
        }

        return new RunConfiguration(options, problems)
        {
            Given = given,
            Text = text,
            IsChanged = request.Sets.Count + request.Flags.Count > 0
                || request.Environment.Keys.Any(name => name.StartsWith(Prefix, StringComparison.Ordinal)),
        };
    }

    /// <summary>The text of <c>config.yaml</c>: every key as resolved.</summary>
    public static string Write(RunOptions options) =>
        YamlWriter.Write(OptionsReader.Write(options), "the configuration of this run, every key as resolved");

    /// <returns>Whether it was read to its end, and its text.</returns>
    private static (bool Whole, string? Text) PourFile(string? source, RecipeShelf recipes, LayeredTable table, List<string> problems)
    {
        source ??= recipes.Default;
        if (source is null)
        {
            problems.Add($"No recipe or file is named: give one ({recipes.List()}).");
            return (false, null);
        }

        var text = recipes.Find(source);
        var layer = text is null ? source : $"recipe {source}";
        if (text is null)
        {
            if (!File.Exists(source))
            {
                var what = Directory.Exists(source) ? "is a folder: name the YAML file in it" : "is neither a recipe nor a file: give the path of a YAML file";
                problems.Add($"'{source}' {what}, or a recipe ({recipes.List()}).");
                return (false, null);
            }

            try
            {
                using var reader = new StreamReader(source);
                var buffer = new char[YamlTable.MaxLength + 1];
                text = new string(buffer, 0, reader.ReadBlock(buffer));
            }
            catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
            {
                problems.Add($"{source} cannot be read: {refused.Message}");
                return (false, null);
            }
        }

        var yaml = YamlTable.Read(text, layer);
        foreach (var entry in yaml.Entries)
        {
            table.Set(entry.Key, entry.Value, $"{layer}, line {entry.Line}");
        }

        problems.AddRange(yaml.Problems);
        return (yaml.Problems.Count == 0, text);
    }

    private static void PourEnvironment(IReadOnlyDictionary<string, string> environment, LayeredTable table, List<string> problems)
    {
        foreach (var (name, value) in environment.OrderBy(e => e.Key, StringComparer.Ordinal))
        {
            if (IsAlmostOurs(name))
            {
                problems.Add($"The environment variable {name} has no effect: one that sets a key is named like {Prefix}BATCH__GLOBAL; rename or remove it.");
            }
            else if (name.StartsWith(Prefix, StringComparison.Ordinal))
            {
                var key = name[Prefix.Length..].Replace("__", ".", StringComparison.Ordinal);
                key = key.Any(char.IsAsciiLetterLower) ? key : key.ToLowerInvariant();
                table.Set(key, value.Length == 0 ? null : value, $"environment variable {name}");
            }
        }
    }

    /// <summary>A typing error. Names without a double underscore are left alone: clusters give services variables such as DISTTRAIN_PORT.</summary>
    private static bool IsAlmostOurs(string name) =>
        name == Prefix
        || (name.StartsWith("DISTTRAIN_", StringComparison.OrdinalIgnoreCase) && !name.StartsWith(Prefix, StringComparison.Ordinal)
            && name.Contains("__", StringComparison.Ordinal));

    private static void PourCommandLine(ConfigurationRequest request, LayeredTable table, List<string> problems)
    {
        foreach (var set in request.Sets)
        {
            if (set.Split('=', 2) is [{ Length: > 0 } key, var value])
            {
                table.Set(key.Trim(), value.Length == 0 ? null : value, "--set");
            }
            else
            {
                problems.Add($"--set '{set}': must be KEY=VALUE, such as --set batch.global=4096.");
            }
        }

        foreach (var (option, key, value) in request.Flags)
        {
            table.Set(key, value, option);
            if (key == DataPath)
            {
                // Where the data lie here says an option instead of whatever else the configuration says.
                DataLocation.Names.ToList().ForEach(name => table.Remove($"data.{name}"));
            }
        }
    }

    /// <summary>A section that is given a value would be reported as an unknown key, with a misleading neighbour.</summary>
    private static void RefuseValuesForSections(LayeredTable table, List<string> problems)
    {
        foreach (var (section, example) in Sections())
        {
            if (table.LayerOf(section) is { } layer)
            {
                problems.Add($"{section} is '{table.Values[section]}' ({layer}): it holds keys of its own, such as {example}; set those.");
                table.Remove(section);
            }
        }
    }

    /// <summary>A path means the working directory's file, also to whoever repeats the run from elsewhere by its config.yaml.</summary>
    private static void ResolveDataPath(LayeredTable table)
    {
        if (table.LayerOf(DataPath) is { } layer && table.Values[DataPath] is { Length: > 0 } path)
        {
            table.Set(DataPath, Path.GetFullPath(path), layer);
        }
    }

    private static IEnumerable<(string Section, string Example)> Sections() =>
    [
        ("model", "model.name"),
        ("data", "data.name"),
        ("debug.delayPerMicroBatch", "debug.delayPerMicroBatch.1"),
        .. OptionsReader.Keys(typeof(RunOptions))
            .Where(k => k.Key.Contains('.', StringComparison.Ordinal))
            .GroupBy(k => k.Key[..k.Key.LastIndexOf('.')])
            .Select(g => (g.Key, g.First().Key)),
    ];
}
