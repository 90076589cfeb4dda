using System.Reflection;

namespace DistTrain.Configuration;

/// <summary>The recipes a program carries: YAML files embedded in its assemblies as <c>recipes/NAME.yaml</c>.</summary>
internal sealed class RecipeShelf
{
    private const string Folder = "recipes/";
    private const string Extension = ".yaml";

    private readonly SortedDictionary<string, string> _texts = new(StringComparer.Ordinal);

    /// <summary>The names, sorted.</summary>
    public IReadOnlyCollection<string> Names => _texts.Keys;

    /// <summary>The recipe that is meant where none is named: the one asked for, or the only one.</summary>
    public string? Default => DefaultName ?? (_texts.Count == 1 ? _texts.Keys.First() : null);

    /// <summary>The recipe a program asked for as its default.</summary>
    public string? DefaultName { get; set; }

    /// <summary>Adds every recipe of an assembly; a later one replaces an earlier one of the same name.</summary>
    public void Add(Assembly assembly)
    {
        foreach (var resource in assembly.GetManifestResourceNames())
        {
            if (resource.StartsWith(Folder, StringComparison.Ordinal) && resource.EndsWith(Extension, StringComparison.Ordinal))
            {
                using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
                Add(resource[Folder.Length..^Extension.Length], reader.ReadToEnd());
            }
        }
    }

    /// <summary>Adds one recipe.</summary>
    public void Add(string name, string text) => _texts[name] = text;

    /// <summary>The text of a recipe, or null where there is none of that name.</summary>
    public string? Find(string name) => _texts.GetValueOrDefault(name);

    /// <summary>What a recipe is for: the text of its first comment line.</summary>
    public string Describe(string name) =>
        _texts[name].Split('\n').Select(l => l.Trim()).FirstOrDefault(l => l.StartsWith('#'))?.TrimStart('#').Trim() ?? "";

    /// <summary>The names as the end of a sentence.</summary>
    public string List() => Names.Count == 0 ? "this program has no recipes" : $"the recipes are {string.Join(", ", Names)}";
}
