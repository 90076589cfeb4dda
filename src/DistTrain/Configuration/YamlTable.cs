using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace DistTrain.Configuration;

/// <summary>
/// A YAML file as a flat table of dotted keys that remembers where each stands. Only what a configuration needs is read: maps of scalars, and lists where
/// they are asked for. Anchors and merged maps are refused by file, line and column, because a value that is written elsewhere cannot be blamed.
/// </summary>
internal sealed class YamlTable
{
    /// <summary>The longest file that is read. A configuration is a page; anything far above is not one.</summary>
    public const int MaxLength = 1 << 20;

    private const int MaxDepth = 16;

    private readonly string _file;
    private readonly List<YamlEntry> _entries = [];
    private readonly List<string> _problems = [];
    private readonly Dictionary<string, long> _lines = new(StringComparer.OrdinalIgnoreCase);

    private readonly bool _lists;

    private YamlTable(string file, bool lists)
    {
        _file = file;
        _lists = lists;
    }

    /// <summary>The keys in the order of the file.</summary>
    public IReadOnlyList<YamlEntry> Entries => _entries;

    /// <summary>Every mistake, as a sentence.</summary>
    public IReadOnlyList<string> Problems => _problems;

    /// <summary>Reads a file's text.</summary>
    /// <param name="text">The whole text.</param>
    /// <param name="file">What the file is called in messages.</param>
    /// <param name="lists">
    /// Whether lists are read: maps in one have the keys KEY.1, KEY.2 and so on, scalars are one value with commas between them.
    /// </param>
    public static YamlTable Read(string text, string file, bool lists = false)
    {
        var table = new YamlTable(file, lists);
        if (text.Length > MaxLength)
        {
            table._problems.Add($"{file} holds {text.Length:N0} characters: a configuration has at most {MaxLength:N0}.");
            return table;
        }

        var parser = new Parser(new StringReader(text));
        try
        {
            table.ReadStream(parser);
        }
        catch (YamlException wrong)
        {
            table.ReportSyntax(wrong.Start, wrong.Message);
        }
        catch (InvalidOperationException)
        {
            // The scanner gives up in this manner on a flow map that is not closed.
            table.ReportSyntax(parser.Current?.End ?? Mark.Empty, "something is not closed");
        }

        return table;
    }

    private void ReadStream(Parser parser)
    {
        parser.Consume<StreamStart>();
        if (parser.TryConsume<StreamEnd>(out _))
        {
            return;
        }

        parser.Consume<DocumentStart>();
        if (parser.Accept<MappingStart>(out _))
        {
            ReadMap(parser, "", 0);
        }
        else if (!parser.TryConsume<Scalar>(out var scalar) || !IsNull(scalar))
        {
            Report(scalar?.Start ?? parser.Current!.Start, "a configuration is a map; write keys and values such as 'task: image-classification'");
            return;
        }

        parser.Consume<DocumentEnd>();
        if (parser.TryConsume<DocumentStart>(out var second))
        {
            Report(second.Start, "a second document starts here; keep one configuration per file");
        }
    }

    private void ReadMap(Parser parser, string prefix, int depth)
    {
        var start = parser.Consume<MappingStart>();
        RefuseAnchor(start);
        while (!parser.TryConsume<MappingEnd>(out _))
        {
            if (!parser.TryConsume<Scalar>(out var name))
            {
                Report(parser.Current!.Start, "a key must be a word; write KEY: VALUE");
                parser.SkipThisAndNestedEvents();
                parser.SkipThisAndNestedEvents();
                continue;
            }

            var key = prefix.Length == 0 ? name.Value : $"{prefix}.{name.Value}";
            if (name.Value == "<<")
            {
                Report(name.Start, "maps cannot be merged with '<<'; write the keys out");
                parser.SkipThisAndNestedEvents();
            }
            else if (parser.TryConsume<Scalar>(out var value))
            {
                RefuseAnchor(value);
                Add(key, IsNull(value) ? null : value.Value, name.Start);
            }
            else if (parser.Accept<MappingStart>(out _) && depth < MaxDepth)
            {
                ReadMap(parser, key, depth + 1);
            }
            else if (_lists && parser.Accept<SequenceStart>(out _) && depth < MaxDepth)
            {
                ReadList(parser, key, name.Start, depth + 1);
            }
            else
            {
                Refuse(parser, key);
            }
        }
    }

    private void ReadList(Parser parser, string key, Mark at, int depth)
    {
        var start = parser.Consume<SequenceStart>();
        RefuseAnchor(start);
        var scalars = new List<string>();
        for (var number = 1; !parser.TryConsume<SequenceEnd>(out _); number++)
        {
            if (parser.TryConsume<Scalar>(out var value))
            {
                RefuseAnchor(value);
                scalars.Add(value.Value);
            }
            else if (parser.Accept<MappingStart>(out _))
            {
                ReadMap(parser, $"{key}.{number}", depth);
            }
            else
            {
                Refuse(parser, $"{key}.{number}");
            }
        }

        if (scalars.Count > 0)
        {
            Add(key, string.Join(", ", scalars), at);
        }
    }

    private void Refuse(Parser parser, string key)
    {
        var remedy = parser.Current switch
        {
            AnchorAlias alias => $"{key} is an alias (*{alias.Value}); write the value itself",
            SequenceStart => $"{key} is a list where one value belongs; keep one of its entries",
            _ => $"{key} is nested deeper than {MaxDepth} maps; no key is",
        };
        Report(parser.Current!.Start, remedy);
        parser.SkipThisAndNestedEvents();
    }

    private void Add(string key, string? value, Mark at)
    {
        if (!_lines.TryAdd(key, at.Line))
        {
            Report(at, $"{key} is already set on line {_lines[key]}; keep one of the two");
            return;
        }

        _entries.Add(new YamlEntry(key, value, at.Line));
    }

    private void RefuseAnchor(NodeEvent node)
    {
        if (!node.Anchor.IsEmpty)
        {
            Report(node.Start, $"the anchor &{node.Anchor.Value} is not supported; remove it and write values where they are used");
        }
    }

    private void ReportSyntax(Mark at, string reason) =>
        Report(at, $"this is not YAML ({reason.TrimEnd('.')}); check the indentation, colons, brackets and quotes here and on the line above");

    private void Report(Mark at, string remedy) => _problems.Add($"{_file}, line {at.Line}, column {at.Column}: {remedy}.");

    private static bool IsNull(Scalar scalar) =>
        scalar is { Style: ScalarStyle.Plain, Value: "" or "~" or "null" or "Null" or "NULL" };
}

/// <summary>One key of a file.</summary>
/// <param name="Key">Its name, with dots.</param>
/// <param name="Value">Its text; null where the file says <c>null</c>.</param>
/// <param name="Line">Where it stands.</param>
internal sealed record YamlEntry(string Key, string? Value, long Line);
