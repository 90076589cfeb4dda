namespace DistTrain.Core.Options;

/// <summary>One mistake in a configuration: the key, what stands there, and what would be right.</summary>
/// <param name="Key">The key, with dots.</param>
/// <param name="Value">The value as given; null where the key is missing.</param>
/// <param name="Remedy">What would be right, as the end of a sentence.</param>
public sealed record OptionProblem(string Key, string? Value, string Remedy)
{
    /// <summary>The key by whose value this is a mistake: where that is one itself, this is not told. Null for none.</summary>
    public string? Follows { get; init; }

    /// <summary>A key that has to be set.</summary>
    public static OptionProblem Missing(string key, string remedy) => new(key, null, remedy);

    /// <inheritdoc/>
    public override string ToString() =>
        Value is null ? $"{Key} is not set: {Remedy}." : $"{Key} is '{Value}': {Remedy}.";
}
