using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using YamlDotNet.RepresentationModel;

namespace DistTrain.Kubernetes.Launching;

/// <summary>
/// Manifests as trees: what is read is what is written, whatever fields the cluster's version has. Scalars are resolved as kubectl does (YAML 1.1 for
/// numbers and booleans), and what could be taken for one of another type is quoted when it is written.
/// </summary>
internal static partial class ManifestYaml
{
    /// <summary>Reads the documents of a text; empty ones are left out.</summary>
    /// <exception cref="YamlException">The text is no YAML.</exception>
    /// <exception cref="FormatException">A document is no map.</exception>
    public static IReadOnlyList<JsonObject> Read(string text)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(text));
        return
        [
            .. stream.Documents.Select(d => ToJson(d.RootNode)).Where(json => json is not null)
                .Select(json => json as JsonObject ?? throw new FormatException("A manifest is a map with apiVersion and kind.")),
        ];
    }

    /// <summary>Writes documents, each after a line of three dashes but the first.</summary>
    public static string Write(IEnumerable<JsonObject> documents)
    {
        var parts = documents.Select(document =>
        {
            var text = new StringWriter { NewLine = "\n" };
            var emitter = new Emitter(text, new EmitterSettings(bestIndent: 2, bestWidth: int.MaxValue, isCanonical: false, maxSimpleKeyLength: 1024));
            emitter.Emit(new StreamStart());
            emitter.Emit(new DocumentStart(null, null, isImplicit: true));
            Emit(emitter, document);
            emitter.Emit(new DocumentEnd(isImplicit: true));
            emitter.Emit(new StreamEnd());
            return text.ToString();
        });
        return string.Join("---\n", parts);
    }

    private static JsonNode? ToJson(YamlNode node) => node switch
    {
        YamlMappingNode map => new JsonObject(map.Children.Select(c => KeyValuePair.Create(((YamlScalarNode)c.Key).Value ?? "", ToJson(c.Value)))),
        YamlSequenceNode list => new JsonArray([.. list.Children.Select(ToJson)]),
        YamlScalarNode { Style: ScalarStyle.Plain } scalar => Resolve(scalar.Value ?? ""),
        YamlScalarNode scalar => JsonValue.Create(scalar.Value ?? ""),
        _ => throw new FormatException($"A manifest has no {node.NodeType}."),
    };

    private static JsonValue? Resolve(string plain)
    {
        if (plain is "" or "~" or "null" or "Null" or "NULL")
        {
            return null;
        }

        if (Boolean().IsMatch(plain))
        {
            return JsonValue.Create(plain.ToLowerInvariant() is "true" or "yes" or "on" or "y");
        }

        if (Octal().IsMatch(plain))
        {
            return JsonValue.Create(Convert.ToInt64(plain.Replace("o", "", StringComparison.Ordinal), 8));
        }

        return Number().IsMatch(plain)
            ? long.TryParse(plain, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole)
                ? JsonValue.Create(whole)
                : JsonValue.Create(double.Parse(plain, CultureInfo.InvariantCulture))
            : JsonValue.Create(plain);
    }

    private static void Emit(Emitter emitter, JsonNode? node)
    {
        switch (node)
        {
            case JsonObject map:
                emitter.Emit(new MappingStart(AnchorName.Empty, TagName.Empty, isImplicit: true, map.Count == 0 ? MappingStyle.Flow : MappingStyle.Block));
                foreach (var (key, value) in map)
                {
                    Emit(emitter, JsonValue.Create(key));
                    Emit(emitter, value);
                }

                emitter.Emit(new MappingEnd());
                break;
            case JsonArray list:
                emitter.Emit(new SequenceStart(AnchorName.Empty, TagName.Empty, isImplicit: true, list.Count == 0 ? SequenceStyle.Flow : SequenceStyle.Block));
                foreach (var item in list)
                {
                    Emit(emitter, item);
                }

                emitter.Emit(new SequenceEnd());
                break;
            case JsonValue value when value.TryGetValue<string>(out var text):
                var style = IsPage(text) ? ScalarStyle.Literal : IsPlain(text) ? ScalarStyle.Plain : ScalarStyle.DoubleQuoted;
                emitter.Emit(new Scalar(AnchorName.Empty, TagName.Empty, text, style, isPlainImplicit: true, isQuotedImplicit: true));
                break;
            default:
                emitter.Emit(new Scalar(node?.ToJsonString() ?? "null"));
                break;
        }
    }

    private static bool IsPlain(string text) => Plain().IsMatch(text) && Resolve(text) is { } same && same.TryGetValue<string>(out _);

    /// <summary>Lines to be read as they are: a file's text.</summary>
    private static bool IsPage(string text) =>
        text.Contains('\n') && !char.IsWhiteSpace(text[0]) && !text.EndsWith("\n\n", StringComparison.Ordinal)
        && text.All(c => c == '\n' || (c >= ' ' && c != '\x7f' && c != '\ufeff' && !char.IsControl(c) && !char.IsSurrogate(c) && c is not ('\u2028' or '\u2029')));

    [GeneratedRegex("^(true|false|yes|no|on|off|y|n)$", RegexOptions.IgnoreCase)]
    private static partial Regex Boolean();

    [GeneratedRegex("^0o?[0-7]+$")]
    private static partial Regex Octal();

    [GeneratedRegex("^[-+]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][-+]?[0-9]+)?$")]
    private static partial Regex Number();

    // Narrower than YAML allows: what is not surely read back as it is gets quotes. Sexagesimal numbers and dates have none of these first letters.
    [GeneratedRegex("^[A-Za-z/$_][-A-Za-z0-9_./@()$]*(:[-A-Za-z0-9_./@()$]+)*( [-A-Za-z0-9_./@()$]+)*$")]
    private static partial Regex Plain();
}
