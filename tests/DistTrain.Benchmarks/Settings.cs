namespace DistTrain.Benchmarks;

/// <summary>What the command line says beside the benchmark's name; null for what the benchmark has as its own.</summary>
internal sealed record Settings
{
    public int? Pairs { get; init; }

    public int? Steps { get; init; }

    public int? Global { get; init; }

    public int? Millions { get; init; }

    public int? Workers { get; init; }

    /// <summary>The beginning of a model's name.</summary>
    public string? Model { get; init; }

    /// <summary>The folder of result pages; null to only print.</summary>
    public string? Results { get; init; }

    /// <summary>Reads pairs of names and values.</summary>
    /// <returns>Null where something is none.</returns>
    public static Settings? Read(string[] rest)
    {
        var read = new Settings();
        for (var i = 0; i < rest.Length; i += 2)
        {
            if (i + 1 == rest.Length)
            {
                return null;
            }

            if (rest[i] == "--results")
            {
                read = read with { Results = rest[i + 1] };
                continue;
            }

            if (rest[i] == "--model")
            {
                read = read with { Model = rest[i + 1] };
                continue;
            }

            if (!int.TryParse(rest[i + 1], out var value) || value < 1)
            {
                return null;
            }

            switch (rest[i])
            {
                case "--pairs": read = read with { Pairs = value }; break;
                case "--steps": read = read with { Steps = value }; break;
                case "--global": read = read with { Global = value }; break;
                case "--millions": read = read with { Millions = value }; break;
                case "--workers": read = read with { Workers = value }; break;
                default: return null;
            }
        }

        return read;
    }
}
