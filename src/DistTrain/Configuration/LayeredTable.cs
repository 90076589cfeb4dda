using DistTrain.Core.Options;

namespace DistTrain.Configuration;

/// <summary>
/// The flat table that the layers of a configuration are poured into, lowest first. It remembers which layer set a key, so that a mistake can be
/// found, and gives every key one spelling, so that the same setting written in another case is the same run.
/// </summary>
internal sealed class LayeredTable
{
    private static readonly Dictionary<string, string> Spellings =
        OptionsReader.Keys(typeof(RunOptions)).ToDictionary(k => k.Key, k => k.Key, StringComparer.OrdinalIgnoreCase);

    private readonly Dictionary<string, (string Value, string Layer)> _values = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<string, string> _seen = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>The values as they stand.</summary>
    public IReadOnlyDictionary<string, string> Values =>
        _values.ToDictionary(e => e.Key, e => e.Value.Value, StringComparer.OrdinalIgnoreCase);

    /// <summary>Sets a key over whatever a lower layer says.</summary>
    /// <param name="key">Its name with dots, in any case.</param>
    /// <param name="value">Its text; null takes the key back to its default.</param>
    /// <param name="layer">What to name when the value is wrong.</param>
    public void Set(string key, string? value, string layer)
    {
        key = Spell(key);
        _values.Remove(key);
        if (value is not null)
        {
            _values[key] = (value, layer);
        }
    }

    /// <summary>Takes a key out.</summary>
    public void Remove(string key) => _values.Remove(key);

    /// <summary>The layer that set a key, or null.</summary>
    public string? LayerOf(string key) => _values.TryGetValue(key, out var entry) ? entry.Layer : null;

    private string Spell(string key)
    {
        if (Spellings.TryGetValue(key, out var known) || _seen.TryGetValue(key, out known))
        {
            return known;
        }

        // Only the first part can be known here: what stands below model and data is the task's.
        var (head, tail) = key.Split('.', 2) is [var first, var rest] ? (first, rest) : (key, "");
        head = Spellings.GetValueOrDefault(head, head);
        return _seen[key] = tail.Length == 0 ? head : $"{head}.{tail}";
    }
}
