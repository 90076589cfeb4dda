using System.Buffers.Binary;
using System.Text.Json;

namespace DistTrain.Core.Layouts;

/// <summary>One tensor of a safetensors file.</summary>
/// <param name="Type">Its type, such as F32.</param>
/// <param name="Shape">Its dimensions.</param>
/// <param name="Begin">Its first byte, counted from the end of the head.</param>
/// <param name="End">The byte behind its last.</param>
public sealed record SafetensorsEntry(string Type, IReadOnlyList<long> Shape, long Begin, long End);

/// <summary>
/// The head of a safetensors file (https://huggingface.co/docs/safetensors): eight bytes of length, then JSON that names every tensor with its type,
/// shape and place in the data that follow. Padded so that the data begin on a multiple of 8.
/// </summary>
public static class SafetensorsHeader
{
    /// <summary>Bytes of the length that a file begins with: 64 bits, little endian, not counting themselves.</summary>
    public const int LengthBytes = 8;

    /// <summary>How a file names fp32.</summary>
    public const string Float32 = "F32";

    /// <summary>More than this readers refuse.</summary>
    public const int MostBytes = 100_000_000;

    /// <summary>What may stand beside the tensors: text about the file. No tensor has this name.</summary>
    public const string Metadata = "__metadata__";

    /// <summary>The head of a file that holds one or more vectors of one layout, one after the other.</summary>
    /// <param name="slots">The layout's slots.</param>
    /// <param name="prefixes">What stands before the names in each vector; <c>""</c> for weights, such as <c>momentum.</c> for others.</param>
    public static byte[] Build(IReadOnlyList<Slot> slots, IReadOnlyList<string> prefixes)
    {
        using var json = new MemoryStream();
        using (var writer = new Utf8JsonWriter(json))
        {
            var vectorBytes = slots.Sum(s => s.Count) * sizeof(float);
            writer.WriteStartObject();
            for (var vector = 0; vector < prefixes.Count; vector++)
            {
                foreach (var slot in slots)
                {
                    var begin = (vector * vectorBytes) + (slot.Offset * sizeof(float));
                    writer.WriteStartObject(prefixes[vector] + slot.Name);
                    writer.WriteString("dtype", Float32);
                    WriteNumbers(writer, "shape", slot.Shape);
                    WriteNumbers(writer, "data_offsets", [begin, begin + (slot.Count * sizeof(float))]);
                    writer.WriteEndObject();
                }
            }

            writer.WriteEndObject();
        }

        var length = (int)(json.Length + LengthBytes - 1) / LengthBytes * LengthBytes;
        var head = new byte[LengthBytes + length];
        head.AsSpan().Fill((byte)' ');
        BinaryPrimitives.WriteInt64LittleEndian(head, length);
        json.GetBuffer().AsSpan(0, (int)json.Length).CopyTo(head.AsSpan(LengthBytes));
        return head;
    }

    /// <summary>Reads a head. Offsets and shapes are the file's word: whoever reads data by them checks that they fit.</summary>
    /// <param name="json">The head without its length.</param>
    /// <returns>The tensors by name; null where it is no head.</returns>
    public static IReadOnlyDictionary<string, SafetensorsEntry>? Read(ReadOnlySpan<byte> json)
    {
        try
        {
            var reader = new Utf8JsonReader(json);
            using var document = JsonDocument.ParseValue(ref reader);
            var entries = new Dictionary<string, SafetensorsEntry>(StringComparer.Ordinal);
            foreach (var tensor in document.RootElement.EnumerateObject().Where(t => t.Name != Metadata))
            {
                if (Numbers(tensor.Value, "data_offsets") is not [var begin, var end])
                {
                    return null;
                }

                entries[tensor.Name] = new SafetensorsEntry(
                    tensor.Value.GetProperty("dtype").GetString() ?? "", Numbers(tensor.Value, "shape"), begin, end);
            }

            return entries;
        }
        catch (Exception damaged) when (damaged is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            return null;
        }
    }

    private static long[] Numbers(JsonElement tensor, string name) => [.. tensor.GetProperty(name).EnumerateArray().Select(n => n.GetInt64())];

    private static void WriteNumbers(Utf8JsonWriter writer, string name, IEnumerable<long> numbers)
    {
        writer.WriteStartArray(name);
        foreach (var number in numbers)
        {
            writer.WriteNumberValue(number);
        }

        writer.WriteEndArray();
    }
}
