using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Journals;

/// <summary>
/// The lines of a journal: 16 hexadecimal digits, a space, and the entry as JSON. The digits check the entry and every line before it, so that a line that is torn,
/// damaged, missing or out of place is seen.
/// </summary>
public static class JournalText
{
    private const int CheckDigits = 16;

    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
    };

    /// <summary>The line of an entry, with its end.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="check">The check of the line before, 0 for the first; becomes that of this line.</param>
    public static string Write(JournalEntry entry, ref ulong check)
    {
        var json = JsonSerializer.Serialize(entry, Options);
        check = Check(check, json);
        return $"{Digits(check)} {json}\n";
    }

    /// <summary>Reads a journal.</summary>
    /// <param name="text">The file's bytes.</param>
    /// <returns>What it holds, as far as it is whole.</returns>
    public static JournalContent Read(ReadOnlySpan<byte> text)
    {
        var entries = new List<JournalEntry>();
        var (check, whole, torn) = (0UL, 0L, false);
        while (whole < text.Length)
        {
            var rest = text[(int)whole..];
            var end = rest.IndexOf((byte)'\n');
            if (end < 0 || Parse(rest[..end], check) is not var (entry, next))
            {
                // Only the last write can be torn, and then lacks its end or has a hole. Anything else means that the file was damaged later.
                torn = true;
                var isDamaged = end >= 0 && (end + 1 < rest.Length || !rest[..end].Contains((byte)0));
                return new JournalContent(entries, whole, check, torn, isDamaged ? entries.Count + 1 : null);
            }

            entries.Add(entry);
            check = next;
            whole += end + 1;
        }

        return new JournalContent(entries, whole, check, torn, null);
    }

    private static string Digits(ulong check) => check.ToString("x16", CultureInfo.InvariantCulture);

    private static (JournalEntry Entry, ulong Check)? Parse(ReadOnlySpan<byte> line, ulong before)
    {
        try
        {
            var text = Encoding.UTF8.GetString(line);
            if (text.Length <= CheckDigits)
            {
                return null;
            }

            var json = text[(CheckDigits + 1)..];
            var check = Check(before, json);
            return text.AsSpan(0, CheckDigits + 1).SequenceEqual(Digits(check) + " ") && JsonSerializer.Deserialize<JournalEntry>(json, Options) is { } entry
                ? (entry, check)
                : null;
        }
        catch (Exception e) when (e is JsonException or NotSupportedException)
        {
            return null;
        }
    }

    private static ulong Check(ulong before, string json)
    {
        var bytes = Encoding.UTF8.GetBytes(json);
        var check = Hash64.Combine(before, (ulong)bytes.Length);
        Array.Resize(ref bytes, (bytes.Length + sizeof(ulong) - 1) / sizeof(ulong) * sizeof(ulong));
        foreach (var word in MemoryMarshal.Cast<byte, ulong>(bytes))
        {
            check = Hash64.Combine(check, word);
        }

        return check;
    }
}

/// <summary>What a journal's file holds.</summary>
/// <param name="Entries">The whole lines, in order.</param>
/// <param name="WholeBytes">Bytes of these lines: what follows is torn, and is cut off before the next is written.</param>
/// <param name="Check">The check of the last of them.</param>
/// <param name="IsTorn">Whether something follows.</param>
/// <param name="DamagedLine">The number of a line, from 1, that is damaged though others follow it; null where there is none.</param>
public sealed record JournalContent(IReadOnlyList<JournalEntry> Entries, long WholeBytes, ulong Check, bool IsTorn, int? DamagedLine);
