using System.Globalization;

namespace DistTrain.Core.Options;

/// <summary>Durations as people write them: 250ms, 2s, 5m, 1h.</summary>
public static class Duration
{
    private static readonly (string Unit, double Milliseconds)[] Units =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

    /// <summary>Reads a number and a unit.</summary>
    public static bool TryParse(string text, out TimeSpan duration)
    {
        text = text.Trim();
        foreach (var (unit, milliseconds) in Units)
        {
            if (text.EndsWith(unit, StringComparison.OrdinalIgnoreCase)
                && double.TryParse(text[..^unit.Length], NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
                && number >= 0 && number * milliseconds < TimeSpan.MaxValue.TotalMilliseconds)
            {
                duration = TimeSpan.FromMilliseconds(number * milliseconds);
                return true;
            }
        }

        duration = default;
        return false;
    }

    /// <summary>Writes the shortest text that reads back as the same duration.</summary>
    public static string Format(TimeSpan duration)
    {
        var (unit, milliseconds) = Units.Last(u => u.Milliseconds == 1 || duration.TotalMilliseconds % u.Milliseconds == 0 && duration.TotalMilliseconds >= u.Milliseconds);
        return (duration.TotalMilliseconds / milliseconds).ToString("R", CultureInfo.InvariantCulture) + unit;
    }
}
