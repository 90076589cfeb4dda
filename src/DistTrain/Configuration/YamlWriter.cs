using System.Globalization;
using System.Text;

namespace DistTrain.Configuration;

/// <summary>
/// Writes a flat table of dotted keys as nested, sorted YAML that <see cref="YamlTable"/> reads back to the same table. A serializer would choose
/// its own number formats; here every value stays the text it was.
/// </summary>
internal static class YamlWriter
{
    /// <summary>The text of a file, with a comment at its head.</summary>
    public static string Write(IReadOnlyDictionary<string, string> values, string comment)
    {
        var text = new StringBuilder().Append("# ").Append(comment).Append('\n');
        var root = new Node();
        foreach (var (key, value) in values)
        {
            var node = root;
            foreach (var part in key.Split('.'))
            {
                node = node.Children.TryGetValue(part, out var child) ? child : node.Children[part] = new Node();
            }

            node.Value = value;
        }

        WriteChildren(root, "", 0, text);
        return text.ToString();
    }

    private static void WriteChildren(Node node, string prefix, int depth, StringBuilder text)
    {
        foreach (var (name, child) in node.Children)
        {
            var key = prefix + name;
            if (child.Value is not null)
            {
                text.Append(' ', 2 * depth).Append(Scalar(key)).Append(": ").Append(Scalar(child.Value)).Append('\n');

                // A key that is both a value and a map cannot be nested: its lower keys keep their dots.
                WriteChildren(child, key + ".", depth, text);
            }
            else
            {
                text.Append(' ', 2 * depth).Append(Scalar(key)).Append(":\n");
                WriteChildren(child, "", depth + 1, text);
            }
        }
    }

    private static string Scalar(string value)
    {
        if (IsPlain(value))
        {
            return value;
        }

        var quoted = new StringBuilder("\"");
        foreach (var c in value)
        {
            quoted.Append(c switch
            {
                '"' or '\\' => $"\\{c}",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                < ' ' or (>= '\x7f' and <= '\xa0') or '\u2028' or '\u2029' or '\ufeff' => "\\u" + ((int)c).ToString("x4", CultureInfo.InvariantCulture),
                _ => c.ToString(),
            });
        }

        return quoted.Append('"').ToString();
    }

    private static bool IsPlain(string value) =>
        value.Length > 0
        && (char.IsAsciiLetterOrDigit(value[0]) || value[0] is '/' or '_' || (value.Length > 1 && value[0] == '-' && char.IsAsciiDigit(value[1])))
        && value.All(c => char.IsAsciiLetterOrDigit(c) || c is '/' or '_' or '-' or '+' or '.')
        && !value.Equals("null", StringComparison.OrdinalIgnoreCase);

    private sealed class Node
    {
        public string? Value { get; set; }

        public SortedDictionary<string, Node> Children { get; } = new(StringComparer.Ordinal);
    }
}
