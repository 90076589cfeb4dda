using System.Text;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace DistTrain.Kubernetes.Tests.Objects;

/// <summary>
/// Manifests as one text, in which only what a server would see is left: objects by version, kind and name, keys in ordinal order, one style, no comments.
/// Two files are the same to a cluster exactly when their canonical forms are equal.
/// </summary>
internal static class CanonicalForm
{
    /// <summary>The canonical form of a file of manifests.</summary>
    public static string Of(string yaml) => string.Concat(Objects(yaml).Select(item => $"# {item.Key}\n{item.Value}"));

    /// <summary>The canonical form of each object, by what it is.</summary>
    public static SortedDictionary<string, string> Objects(string yaml)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(yaml));
        var objects = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var root in stream.Documents.Select(document => document.RootNode).OfType<YamlMappingNode>())
        {
            var metadata = (YamlMappingNode)root.Children["metadata"];
            objects.Add($"{root.Children["apiVersion"]}/{root.Children["kind"]}/{Of(metadata, "namespace")}/{Of(metadata, "name")}", Text(root));
        }

        return objects;
    }

    private static string Of(YamlMappingNode node, string key) => node.Children.TryGetValue(key, out var value) ? value.ToString() : "";

    private static string Text(YamlNode node)
    {
        var text = new StringBuilder();
        Write(node, 0, text);
        return text.ToString();
    }

    private static void Write(YamlNode node, int depth, StringBuilder text)
    {
        var indent = new string(' ', depth);
        switch (node)
        {
            case YamlMappingNode { Children.Count: > 0 } mapping:
                foreach (var pair in mapping.Children.OrderBy(pair => pair.Key.ToString(), StringComparer.Ordinal))
                {
                    WriteEntry($"{indent}{pair.Key}:", pair.Value, depth, text);
                }

                break;
            case YamlSequenceNode { Children.Count: > 0 } sequence:
                foreach (var child in sequence.Children)
                {
                    WriteEntry($"{indent}-", child, depth, text);
                }

                break;
        }
    }

    private static void WriteEntry(string head, YamlNode value, int depth, StringBuilder text)
    {
        text.Append(head);
        text.Append(value switch
        {
            YamlScalarNode scalar => $" {Scalar(scalar)}\n",
            YamlMappingNode { Children.Count: 0 } => " {}\n",
            YamlSequenceNode { Children.Count: 0 } => " []\n",
            _ => "\n",
        });
        Write(value, depth + 2, text);
    }

    /// <summary>A plain scalar is what YAML reads it as; any other is a string, also where it looks like a number.</summary>
    private static string Scalar(YamlScalarNode scalar) =>
        !IsString(scalar) ? scalar.Value ?? ""
            : $"\"{(scalar.Value ?? "").Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal)}\"";

    /// <summary>Whether a node is a string to the server.</summary>
    public static bool IsString(YamlNode node) =>
        node is YamlScalarNode { Value: var value, Style: var style }
        && (style != ScalarStyle.Plain || (value is not (null or "true" or "false" or "null" or "~" or "") && !double.TryParse(value, out _)));
}
