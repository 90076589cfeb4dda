using System.Text.Json.Nodes;
using DistTrain.Core.Journals;

namespace DistTrain.Cli.Tests.Auditing;

/// <summary>A copy of a run's folder, to be tampered with.</summary>
internal sealed class Tampering : IDisposable
{
    public const string Journal = "journal/journal.jsonl";
    private readonly TempFolder _folder = new();

    public Tampering(string run)
    {
        foreach (var file in Directory.EnumerateFiles(run, "*", SearchOption.AllDirectories))
        {
            var copy = _folder[Path.GetRelativePath(run, file)];
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }
    }

    public string Folder => _folder.Path;

    public string this[string name] => _folder[name];

    public void Dispose() => _folder.Dispose();

    /// <summary>The lines of a file.</summary>
    public List<string> Lines(string file) => [.. File.ReadLines(_folder[file])];

    /// <summary>Changes the lines of a file.</summary>
    public void Lines(string file, Action<List<string>> change)
    {
        var lines = Lines(file);
        change(lines);
        File.WriteAllText(_folder[file], string.Concat(lines.Select(l => l + "\n")));
    }

    /// <summary>Changes the last line that is so.</summary>
    public void Line(string file, Func<JsonNode, bool> which, Action<JsonNode> change) => Lines(file, lines =>
    {
        var index = lines.FindLastIndex(l => which(JsonNode.Parse(l)!));
        lines[index] = Changed(lines[index], change);
    });

    /// <summary>Changes the last line of a step.</summary>
    public void Step(long step, Action<JsonNode> change, string file = "metrics.jsonl") => Line(file, l => (long)l["step"]! == step, change);

    /// <summary>Changes a file of one object.</summary>
    public void Object(string file, Action<JsonNode> change) => File.WriteAllText(_folder[file], Changed(File.ReadAllText(_folder[file]), change));

    /// <summary>Adds to the end of a file.</summary>
    public void Append(string file, string text) => File.AppendAllText(_folder[file], text);

    /// <summary>The newest checkpoint, below the folder.</summary>
    public string Checkpoint => Path.GetRelativePath(Folder, Directory.EnumerateDirectories(_folder["checkpoints"]).Max(StringComparer.Ordinal)!);

    /// <summary>The run's own journal.</summary>
    public List<JournalEntry> Entries() => [.. JournalText.Read(File.ReadAllBytes(_folder[Journal])).Entries];

    /// <summary>Writes a journal in place of the run's own.</summary>
    public void Write(IEnumerable<JournalEntry> entries)
    {
        var check = 0UL;
        _folder.File(Journal, string.Concat(entries.Select(e => JournalText.Write(e, ref check))));
    }

    private static string Changed(string json, Action<JsonNode> change)
    {
        var node = JsonNode.Parse(json)!;
        change(node);
        return node.ToJsonString();
    }
}
