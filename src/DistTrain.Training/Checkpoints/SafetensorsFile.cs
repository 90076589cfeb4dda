using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using DistTrain.Core.Layouts;
using DistTrain.Training.Native;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Checkpoints;

/// <summary>A safetensors file whose data have the SHA-256 they should have; its tensors are read by name.</summary>
internal sealed class SafetensorsFile : IDisposable
{
    private const int LargestHead = 1 << 28;
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
    /// <exception cref="DataException">It is something else.</exception>
    /// <exception cref="IOException">It is missing or cannot be read.</exception>
    public static SafetensorsFile Open(string path, string dataSha256)
    {
        var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        try
        {
            Span<byte> length = stackalloc byte[SafetensorsHeader.LengthBytes];
            var whole = file.ReadAtLeast(length, length.Length, throwOnEndOfStream: false) == length.Length;
            var bytes = whole ? BinaryPrimitives.ReadInt64LittleEndian(length) : -1;
            if (bytes is < 0 or > LargestHead || bytes > file.Length - length.Length)
            {
                throw Damaged(path, "it has no head");
            }

            var head = new byte[bytes];
            file.ReadExactly(head);
            var entries = SafetensorsHeader.Read(head) ?? throw Damaged(path, "its head is no list of tensors");
            var opened = new SafetensorsFile(file, entries);
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
    /// <param name="name">Its name in the file.</param>
    /// <param name="slot">Its shape and its place.</param>
    /// <param name="vector">Where it is read to.</param>
    /// <exception cref="DataException">The file has no such tensor, or one of another shape.</exception>
    public void Read(string name, Slot slot, NativeVector vector)
    {
        const int piece = 1 << 20;
        if (!_entries.TryGetValue(name, out var entry) || entry.Type != SafetensorsHeader.Float32 || !entry.Shape.SequenceEqual(slot.Shape)
            || entry.Begin < 0 || entry.End - entry.Begin != slot.Count * sizeof(float) || entry.End > _file.Length - _dataStart)
        {
            throw new DataException(
                $"{_file.Name} holds no {name} of shape [{string.Join(", ", slot.Shape)}]: the run's model was built by other code; use the program that trained it.");
        }

        _file.Position = _dataStart + entry.Begin;
        for (var at = 0L; at < slot.Count; at += piece)
        {
            _file.ReadExactly(MemoryMarshal.AsBytes(vector.Span(slot.Offset + at, (int)Math.Min(piece, slot.Count - at))));
        }
    }

    public void Dispose() => _file.Dispose();

    private static DataException Damaged(string path, string how) => new($"{path} is damaged, {how}: use another checkpoint of the run.");
}
