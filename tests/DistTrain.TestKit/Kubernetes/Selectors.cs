using System.Text.Json.Nodes;

namespace DistTrain.TestKit.Kubernetes;

/// <summary>A label selector in the words of a query: <c>a=b,c!=d,e in (f,g),h</c>.</summary>
public sealed class LabelSelector
{
    private readonly List<Func<JsonObject?, bool>> _terms = [];

    /// <summary>Reads a selector; null for none.</summary>
    /// <exception cref="FormatException">It has a term that is not understood.</exception>
    public static LabelSelector? Parse(string? text)
    {
        if (string.IsNullOrWhiteSpace(text))
        {
            return null;
        }

        var selector = new LabelSelector();
        foreach (var term in Terms(text))
        {
            selector._terms.Add(Term(term));
        }

        return selector;
    }

    /// <summary>Whether an object has the labels.</summary>
    public bool Takes(JsonObject json) => _terms.TrueForAll(t => t(json["metadata"]?["labels"] as JsonObject));

    private static Func<JsonObject?, bool> Term(string term)
    {
        if (term.Split(" in ", 2) is [var key, var values])
        {
            var set = values.Trim(' ', '(', ')').Split(',', StringSplitOptions.TrimEntries);
            return labels => set.Contains((string?)labels?[key.Trim()]);
        }

        if (term.Split("!=", 2) is [var not, var other])
        {
            return labels => (string?)labels?[not] != other;
        }

        if (term.Replace("==", "=", StringComparison.Ordinal).Split('=', 2) is [var name, var value])
        {
            return labels => (string?)labels?[name] == value;
        }

        return term.Any(c => c is ' ' or '(' or '!')
            ? throw new FormatException($"unable to parse requirement: {term}")
            : labels => labels?.ContainsKey(term) == true;
    }

    /// <summary>Cut at commas that are not in brackets.</summary>
    private static IEnumerable<string> Terms(string text)
    {
        var (start, depth) = (0, 0);
        for (var at = 0; at <= text.Length; at++)
        {
            if (at == text.Length || (text[at] == ',' && depth == 0))
            {
                yield return text[start..at].Trim();
                start = at + 1;
            }
            else
            {
                depth += text[at] switch { '(' => 1, ')' => -1, _ => 0 };
            }
        }
    }
}

/// <summary>A field selector in the words of a query: <c>involvedObject.name=x,spec.nodeName!=y</c>.</summary>
public sealed class FieldSelector
{
    private readonly List<(string[] Field, bool Is, string Value)> _terms = [];

    /// <summary>Reads a selector; null for none.</summary>
    /// <exception cref="FormatException">It has a term that is not understood.</exception>
    public static FieldSelector? Parse(string? text)
    {
        if (string.IsNullOrWhiteSpace(text))
        {
            return null;
        }

        var selector = new FieldSelector();
        foreach (var term in text.Split(','))
        {
            var not = term.Contains("!=", StringComparison.Ordinal);
            selector._terms.Add(term.Split(not ? "!=" : "=", 2) is [var field, var value]
                ? (field.Trim().Split('.'), !not, value.TrimStart('='))
                : throw new FormatException($"invalid selector: '{term}'; can't understand '{term}'"));
        }

        return selector;
    }

    /// <summary>Whether an object has the values.</summary>
    public bool Takes(JsonObject json) => _terms.TrueForAll(t =>
        (t.Field.Aggregate((JsonNode?)json, (node, part) => (node as JsonObject)?[part])?.ToString() ?? "") == t.Value == t.Is);
}
