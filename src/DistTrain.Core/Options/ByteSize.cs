using System.ComponentModel.DataAnnotations;
using System.Globalization;

namespace DistTrain.Core.Options;

/// <summary>Amounts of bytes as people write them: 10GiB, 500MB, 1048576; and 10Gi, as Kubernetes does. No unit of one letter: 1g is decimal to some and binary to others.</summary>
public static class ByteSize
{
    private static readonly (string Unit, long Bytes)[] Units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40),
        ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("Ki", 1L << 10), ("Mi", 1L << 20), ("Gi", 1L << 30), ("Ti", 1L << 40),
        ("B", 1), ("", 1),
    ];

    /// <summary>Reads a number above 0 and a unit, in any case; without a unit the number counts bytes.</summary>
    /// <returns>Whether the text is an amount of bytes.</returns>
    public static bool TryParse(string text, out long bytes)
    {
        var (number, factor) = Read(text);
        bytes = number > 0 && number <= (decimal)long.MaxValue / factor ? (long)Math.Ceiling(number * factor) : 0;
        return bytes > 0;
    }

    /// <summary>Whether a text is an amount, and of more bytes than anything counts.</summary>
    public static bool IsTooMuch(string text)
    {
        var (number, factor) = Read(text);
        return number > (decimal)long.MaxValue / factor;
    }

    /// <summary>Number and unit; the number is 0 where there is none.</summary>
    private static (decimal Number, long Factor) Read(string text)
    {
        text = text.Trim();
        var (unit, factor) = Units.First(u => text.EndsWith(u.Unit, StringComparison.OrdinalIgnoreCase));
        var isNumber = decimal.TryParse(text[..^unit.Length], NumberStyles.AllowDecimalPoint | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out var number);
        return (isNumber ? number : 0, factor);
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

    /// <summary>What is wrong with a value that is not valid, as the end of a sentence.</summary>
    public string Remedy(object? value) => value is string text && ByteSize.IsTooMuch(text)
        ? "must be less than 8 EiB, which is 2^63 bytes"
        : FormatErrorMessage("");
}
