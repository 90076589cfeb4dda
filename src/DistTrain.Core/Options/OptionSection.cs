namespace DistTrain.Core.Options;

/// <summary>
/// A part of the configuration whose keys only the task knows; it reads them with <see cref="OptionsReader.Read{T}"/>.
/// </summary>
public sealed class OptionSection(string path, IReadOnlyDictionary<string, string> values)
{
    /// <summary>A section without keys.</summary>
    public static OptionSection Empty { get; } = new("", new Dictionary<string, string>());

    /// <summary>The key of the section itself, such as <c>model</c>.</summary>
    public string Path => path;

    /// <summary>The keys below the section, without its path, and their values.</summary>
    public IReadOnlyDictionary<string, string> Values => values;

    /// <summary>The value of <c>name</c>, by which a task chooses; empty where it is not set.</summary>
    public string Name => values.GetValueOrDefault("name", "");
}
