using System.Buffers.Binary;
using System.Text.Json;

namespace DistTrain.Core.Layouts;

/// <summary>
/// The head of a safetensors file (https://huggingface.co/docs/safetensors): eight bytes of length, then JSON that names every tensor with its type,
/// shape and place in the data that follow. Padded so that the data begin on a multiple of 8.
/// </summary>
public static class SafetensorsHeader
{
    private const int LengthBytes = 8;

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
                    writer.WriteString("dtype", "F32");
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
