using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace DistTrain.Core.Layouts;

/// <summary>What a slot of the flat vector holds.</summary>
public enum SlotKind
{
    /// <summary>A trained parameter.</summary>
    Parameter,

    /// <summary>A parameter that does not ask for a gradient: it is never changed.</summary>
    Frozen,

    /// <summary>A floating-point buffer, such as running statistics.</summary>
    Buffer,

    /// <summary>
    /// A buffer of whole numbers, such as a count of batches: four elements for each number, its 16-bit digits from the lowest, which fp32 holds exactly.
    /// </summary>
    IntegerBuffer,
}

/// <summary>One named tensor's place in the flat vector.</summary>
/// <param name="Name">The name the model gives it.</param>
/// <param name="Shape">Its dimensions.</param>
/// <param name="Offset">Its first element in the flat vector.</param>
/// <param name="Count">Its elements.</param>
/// <param name="Kind">What it is.</param>
public sealed record Slot(string Name, IReadOnlyList<long> Shape, long Offset, long Count, SlotKind Kind);

/// <summary>
/// Where every parameter of the model lies in one flat fp32 vector. Slots follow each other without gaps in ordinal
/// order of their names, parameters before buffers, so that the layout does not depend on how a model was put together.
/// </summary>
public sealed class ParameterLayout
{
    /// <summary>Lays tensors out.</summary>
    /// <param name="tensors">
    /// Name, dimensions and kind of each, in any order. Names are distinct; no dimension is negative; a scalar has no
    /// dimensions.
    /// </param>
    /// <exception cref="ArgumentException">Two tensors have one name, or a dimension is negative.</exception>
    /// <exception cref="OverflowException">The vector would have more than 2^63 - 1 elements.</exception>
    public ParameterLayout(IEnumerable<(string Name, IReadOnlyList<long> Shape, SlotKind Kind)> tensors)
    {
        var slots = new List<Slot>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (name, shape, kind) in tensors
            .OrderBy(t => IsBuffer(t.Kind)).ThenBy(t => t.Name, StringComparer.Ordinal))
        {
            if (!names.Add(name))
            {
                throw new ArgumentException($"Two tensors have the name '{name}'.", nameof(tensors));
            }

            if (shape.Any(size => size < 0))
            {
                throw new ArgumentException($"Tensor '{name}' has a negative dimension.", nameof(tensors));
            }

            var count = shape.Aggregate(1L, (product, size) => checked(product * size));
            slots.Add(new Slot(name, [.. shape], Count, count, kind));
            Count = checked(Count + count);
        }

        Slots = slots;
        BuffersStart = slots.FirstOrDefault(s => IsBuffer(s.Kind))?.Offset ?? Count;
        Tiles = new TileTable(slots);
        Fingerprint = Describe(slots);
    }

    /// <summary>The slots by rising offset.</summary>
    public IReadOnlyList<Slot> Slots { get; }

    /// <summary>Elements of the flat vector.</summary>
    public long Count { get; }

    /// <summary>The first element that belongs to a buffer; <see cref="Count"/> where there is none.</summary>
    public long BuffersStart { get; }

    /// <summary>The pieces in which norms and hashes are taken.</summary>
    public TileTable Tiles { get; }

    /// <summary>
    /// SHA-256 of names, dimensions, kinds and offsets, in hexadecimal. Equal layouts have equal fingerprints.
    /// </summary>
    public string Fingerprint { get; }

    private static bool IsBuffer(SlotKind kind) => kind is SlotKind.Buffer or SlotKind.IntegerBuffer;

    private static string Describe(List<Slot> slots)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> number = stackalloc byte[8];
        foreach (var slot in slots)
        {
            // Lengths go ahead of what they count, so that no two layouts write the same bytes.
            var name = Encoding.UTF8.GetBytes(slot.Name);
            BinaryPrimitives.WriteInt64LittleEndian(number, name.Length);
            hash.AppendData(number);
            hash.AppendData(name);
            foreach (var value in slot.Shape.Prepend(slot.Shape.Count).Append(slot.Offset).Append((long)slot.Kind))
            {
                BinaryPrimitives.WriteInt64LittleEndian(number, value);
                hash.AppendData(number);
            }
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
