namespace DistTrain.Core.Data;

/// <summary>The files a run's data consist of, on this host.</summary>
/// <param name="Root">The folder they lie in, or where <paramref name="Names"/> is null, the only file.</param>
/// <param name="Names">Their paths below the folder, parts separated by slashes; null for a single file.</param>
public sealed record DataFiles(string Root, IReadOnlyList<string>? Names)
{
    /// <summary>Most files that are given out one by one: each costs a line of a list that every worker gets.</summary>
    public const int MostFiles = 100_000;
}
