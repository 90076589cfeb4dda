namespace DistTrain.Core.Data;

/// <summary>Names that are to become files of one folder, looked at one after the other.</summary>
public sealed class DataNames
{
    private readonly HashSet<string> _files = new(StringComparer.Ordinal);
    private readonly HashSet<string> _folders = new(StringComparer.Ordinal);

    /// <summary>Adds a file.</summary>
    /// <returns>Why it cannot be one beside the others, as the end of a sentence; null where it can.</returns>
    public string? Add(string name)
    {
        if (DataName.Problem(name) is { } problem)
        {
            return problem;
        }

        if (_folders.Contains(name))
        {
            return "is a file and a folder";
        }

        for (var at = name.IndexOf('/'); at >= 0; at = name.IndexOf('/', at + 1))
        {
            if (_files.Contains(name[..at]))
            {
                return "lies below a file";
            }

            _folders.Add(name[..at]);
        }

        return _files.Add(name) ? null : "is there twice";
    }
}
