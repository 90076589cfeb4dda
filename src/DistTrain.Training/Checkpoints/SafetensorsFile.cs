using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using DistTrain.Core.Layouts;
using DistTrain.Training.Native;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Checkpoints;

/// <summary>
/// A safetensors file whose head is the one that its vectors' layout has, and whose data have the SHA-256 they should have. The hash does not cover the
/// head, so every tensor has to be where the layout puts it.
/// </summary>
internal sealed class SafetensorsFile : IDisposable
{
    /// <summary>Bytes of text about the file that its head may hold beside the tensors.</summary>
    private const int LargestMetadata = 1 << 16;

    private readonly FileStream _file;
    private readonly IReadOnlyDictionary<string, SafetensorsEntry> _entries;
    private readonly long _dataStart;

    private SafetensorsFile(FileStream file, IReadOnlyDictionary<string, SafetensorsEntry> entries)
    {
        _file = file;
        _entries = entries;
        _dataStart = file.Position;
    }

    /// <summary>Opens and checks a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="dataSha256">What its bytes behind the head must hash to, in hexadecimal.</param>
    /// <param name="slots">The layout of each of its vectors.</param>
    /// <param name="prefixes">What stands before the names in each vector, as in <see cref="SafetensorsHeader.Build"/>.</param>
    /// <exception cref="DataException">It is something else.</exception>
    /// <exception cref="IOException">It is missing or cannot be read.</exception>
    public static SafetensorsFile Open(string path, string dataSha256, IReadOnlyList<Slot> slots, IReadOnlyList<string> prefixes)
    {
        var expected = SafetensorsHeader.Build(slots, prefixes);
        var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        try
        {
            Span<byte> length = stackalloc byte[SafetensorsHeader.LengthBytes];
            var whole = file.ReadAtLeast(length, length.Length, throwOnEndOfStream: false) == length.Length;
            var bytes = whole ? BinaryPrimitives.ReadInt64LittleEndian(length) : -1;
            if (bytes < 0 || bytes > file.Length - length.Length)
            {
                throw Damaged(path, "it has no head");
            }

            if (bytes > expected.Length + LargestMetadata)
            {
                throw Foreign(path);
            }

            var head = new byte[bytes];
            file.ReadExactly(head);
            var entries = SafetensorsHeader.Read(head) ?? throw Damaged(path, "its head is no list of tensors");
            if (!Agree(entries, SafetensorsHeader.Read(expected.AsSpan(SafetensorsHeader.LengthBytes))!))
            {
                throw Foreign(path);
            }

            var opened = new SafetensorsFile(file, entries);
            if (file.Length - opened._dataStart != prefixes.Count * slots.Sum(s => s.Count) * sizeof(float))
            {
                throw Damaged(path, "its data are too short or too long");
            }

            return Convert.ToHexStringLower(SHA256.HashData(file)).Equals(dataSha256, StringComparison.OrdinalIgnoreCase)
                ? opened
                : throw Damaged(path, "its SHA-256 is not the manifest's");
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Reads one tensor into its place.</summary>
    /// <param name="prefix">What stands before its name: one of those the file was opened with.</param>
    /// <param name="slot">Its name, shape and place in a vector: one of those the file was opened with.</param>
    /// <param name="vector">Where it is read to.</param>
    public void Read(string prefix, Slot slot, NativeVector vector)
    {
        const int piece = 1 << 20;
        _file.Position = _dataStart + _entries[prefix + slot.Name].Begin;
        for (var at = 0L; at < slot.Count; at += piece)
        {
            _file.ReadExactly(MemoryMarshal.AsBytes(vector.Span(slot.Offset + at, (int)Math.Min(piece, slot.Count - at))));
        }
    }

    public void Dispose() => _file.Dispose();

    private static bool Agree(IReadOnlyDictionary<string, SafetensorsEntry> left, IReadOnlyDictionary<string, SafetensorsEntry> right) =>
        left.Count == right.Count && left.All(entry => right.TryGetValue(entry.Key, out var other)
            && (entry.Value.Type, entry.Value.Begin, entry.Value.End) == (other.Type, other.Begin, other.End) && entry.Value.Shape.SequenceEqual(other.Shape));

    private static DataException Foreign(string path) =>
        new($"{path} is damaged, or its tensors are not those of the run's model: use another checkpoint of the run, and the program that trained it.");

    private static DataException Damaged(string path, string how) => new($"{path} is damaged, {how}: use another checkpoint of the run.");
}
