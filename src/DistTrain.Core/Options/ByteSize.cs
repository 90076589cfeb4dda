using System.ComponentModel.DataAnnotations;
using System.Globalization;

namespace DistTrain.Core.Options;

/// <summary>Amounts of bytes as people write them: 10GiB, 500MB, 1048576.</summary>
public static class ByteSize
{
    private static readonly (string Unit, long Bytes)[] Units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40),
        ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("B", 1), ("", 1),
    ];

    /// <summary>Reads a number above 0 and a unit, in any case; without a unit the number counts bytes.</summary>
    /// <returns>Whether the text is an amount of bytes.</returns>
    public static bool TryParse(string text, out long bytes)
    {
        text = text.Trim();
        var (unit, factor) = Units.First(u => text.EndsWith(u.Unit, StringComparison.OrdinalIgnoreCase));
        var isNumber = decimal.TryParse(text[..^unit.Length], NumberStyles.AllowDecimalPoint | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out var number);
        bytes = isNumber && number > 0 && number <= (decimal)long.MaxValue / factor ? (long)Math.Ceiling(number * factor) : 0;
        return bytes > 0;
    }

    /// <summary>For people: three digits and a decimal unit, such as 1.53 GB.</summary>
    /// <param name="bytes">0 or more.</param>
    public static string Format(long bytes)
    {
        var (unit, factor) = bytes switch
        {
            >= 1_000_000_000_000 => ("TB", 1e12),
            >= 1_000_000_000 => ("GB", 1e9),
            >= 1_000_000 => ("MB", 1e6),
            >= 1_000 => ("kB", 1e3),
            _ => ("bytes", 1.0),
        };
        var value = bytes / factor;
        var format = factor == 1.0 || value >= 100 ? "0" : value >= 10 ? "0.#" : "0.##";
        return $"{value.ToString(format, CultureInfo.InvariantCulture)} {unit}";
    }
}

/// <summary>A key whose text is an amount of bytes.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class ByteSizeAttribute : ValidationAttribute
{
    /// <inheritdoc/>
    public override bool IsValid(object? value) => value is not string text || ByteSize.TryParse(text, out _);

    /// <inheritdoc/>
    public override string FormatErrorMessage(string name) => "must be an amount of bytes above 0, such as 10GiB or 500MB";
}
