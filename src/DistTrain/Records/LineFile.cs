using System.Text.Json;

namespace DistTrain.Records;

/// <summary>A file of one JSON object a line, as its writer left it. A writer that was killed may have torn its last line; nothing else explains a line that is none.</summary>
/// <param name="Path">The file.</param>
/// <param name="Lines">The lines before the first that is none.</param>
/// <param name="TornLine">The number of the last line, from 1, where it is torn: it has no end.</param>
/// <param name="DamagedLine">The number of a line that is damaged; null where there is none.</param>
internal sealed record LineFile<T>(string Path, IReadOnlyList<T> Lines, int? TornLine, int? DamagedLine)
    where T : class
{
    /// <summary>Reads a file.</summary>
    /// <param name="path">The file; it is there.</param>
    /// <param name="parse">Makes sense of a line; null, or a <see cref="JsonException"/>, where it makes none.</param>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read.</exception>
    public static LineFile<T> Read(string path, Func<string, T?> parse)
    {
        // The run may be going on: neither is it disturbed, nor does its next line make this one whole.
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        var ends = false;
        if (file.Length > 0)
        {
            file.Position = file.Length - 1;
            ends = file.ReadByte() == '\n';
            file.Position = 0;
        }

        using var reader = new StreamReader(file);
        return Parse(path, LinesOf(reader), ends, parse);
    }

    /// <summary>Reads lines.</summary>
    /// <param name="path">What they are called.</param>
    /// <param name="lines">The lines.</param>
    /// <param name="ends">Whether the last one has an end.</param>
    /// <param name="parse">As in <see cref="Read"/>.</param>
    public static LineFile<T> Parse(string path, IEnumerable<string> lines, bool ends, Func<string, T?> parse)
    {
        var whole = new List<T>();
        var wrong = false;
        foreach (var line in lines)
        {
            if (wrong)
            {
                return new LineFile<T>(path, whole, null, whole.Count + 1);
            }

            if (TryParse(line, parse) is { } parsed)
            {
                whole.Add(parsed);
            }
            else
            {
                wrong = true;
            }
        }

        int? number = wrong ? whole.Count + 1 : null;
        return ends ? new LineFile<T>(path, whole, null, number) : new LineFile<T>(path, whole, number, null);
    }

    private static T? TryParse(string line, Func<string, T?> parse)
    {
        try
        {
            return parse(line);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static IEnumerable<string> LinesOf(StreamReader reader)
    {
        while (reader.ReadLine() is { } line)
        {
            yield return line;
        }
    }
}
