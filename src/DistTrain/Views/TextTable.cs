namespace DistTrain.Views;

/// <summary>A table of aligned columns in plain text, equally readable on a terminal and in a file.</summary>
internal sealed class TextTable(params string[] header)
{
    private readonly List<string[]> _rows = [];

    /// <summary>Adds a line.</summary>
    public TextTable Add(params string[] cells)
    {
        _rows.Add(cells);
        return this;
    }

    /// <summary>Writes the table; a column in which every cell is a number stands to the right.</summary>
    public void Write(TextWriter output, string indent = "")
    {
        string[][] lines = header.Length == 0 ? [.. _rows] : [header, .. _rows];
        var columns = lines.Max(l => l.Length);
        var widths = Enumerable.Range(0, columns).Select(c => lines.Max(l => c < l.Length ? l[c].Length : 0)).ToArray();
        var right = Enumerable.Range(0, columns)
            .Select(c => header.Length > 0 && _rows.Count > 0 && _rows.All(r => c < r.Length && r[c].Length > 0 && (double.TryParse(r[c], out _) || r[c] == "-")))
            .ToArray();
        foreach (var line in lines)
        {
            var cells = line.Select((cell, c) => right[c] ? cell.PadLeft(widths[c]) : cell.PadRight(widths[c]));
            output.WriteLine((indent + string.Join("  ", cells)).TrimEnd());
        }
    }
}
