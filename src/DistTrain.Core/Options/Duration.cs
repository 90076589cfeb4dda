using System.Globalization;

namespace DistTrain.Core.Options;

/// <summary>Durations as people write them: 250ms, 2s, 5m, 1h.</summary>
public static class Duration
{
    private static readonly (string Unit, long Ticks)[] Units =
    [
        ("ms", TimeSpan.TicksPerMillisecond),
        ("s", TimeSpan.TicksPerSecond),
        ("m", TimeSpan.TicksPerMinute),
        ("h", TimeSpan.TicksPerHour),
    ];

    /// <summary>Reads a number, 0 or more, and a unit: ms, s, m or h, in any case. Rounded to 100 ns.</summary>
    /// <returns>Whether the text is a duration.</returns>
    public static bool TryParse(string text, out TimeSpan duration)
    {
        text = text.Trim();
        foreach (var (unit, ticks) in Units)
        {
            // Decimal, because 0.0003 ms is exactly three ticks and its nearest double is not.
            if (text.EndsWith(unit, StringComparison.OrdinalIgnoreCase)
                && decimal.TryParse(
                    text[..^unit.Length], NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
                && number >= 0 && number <= (decimal)long.MaxValue / ticks)
            {
                duration = new TimeSpan((long)Math.Min(decimal.Round(number * ticks), long.MaxValue));
                return true;
            }
        }

        duration = default;
        return false;
    }

    /// <summary>
    /// Writes a duration in the largest unit of which it is a whole number, else in fractions of a millisecond.
    /// </summary>
    /// <param name="duration">0 or more.</param>
    /// <returns>Text that <see cref="TryParse"/> reads back as exactly the same duration.</returns>
    public static string Format(TimeSpan duration)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(duration, TimeSpan.Zero);
        var (unit, ticks) = Units.LastOrDefault(
            u => duration.Ticks >= u.Ticks && duration.Ticks % u.Ticks == 0, Units[0]);
        return ((decimal)duration.Ticks / ticks).ToString("0.####", CultureInfo.InvariantCulture) + unit;
    }
}
