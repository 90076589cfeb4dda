using System.Buffers.Binary;
using System.Security.Cryptography;
using DistTrain.Core.Layouts;

namespace DistTrain.Auditing;

/// <summary>Reads a safetensors file without knowing the model it is of.</summary>
internal static class CheckpointFileReader
{
    /// <summary>Longer heads are none: the names of a million tensors take less.</summary>
    private const long LongestHead = 1 << 28;

    /// <summary>Reads one file of a checkpoint's folder.</summary>
    public static CheckpointFile Read(string folder, string name)
    {
        try
        {
            // A manifest that was tampered with must not lead out of its folder.
            using var file = File.OpenRead(Path.Combine(folder, Path.GetFileName(name)));
            Span<byte> length = stackalloc byte[SafetensorsHeader.LengthBytes];
            var head = file.ReadAtLeast(length, length.Length, throwOnEndOfStream: false) == length.Length ? BinaryPrimitives.ReadInt64LittleEndian(length) : -1;
            if (head < 0 || head > Math.Min(LongestHead, file.Length - length.Length))
            {
                return new CheckpointFile(name, file.Length, null, 0, 0);
            }

            var json = new byte[head];
            file.ReadExactly(json);
            var tensors = SafetensorsHeader.Read(json);
            var data = file.Length - file.Position;
            return new CheckpointFile(
                name, file.Length, tensors is null ? null : Convert.ToHexStringLower(SHA256.HashData(file)), tensors?.Values.Max(t => (long?)t.End) ?? 0, data);
        }
        catch (Exception missing) when (missing is IOException or UnauthorizedAccessException)
        {
            return new CheckpointFile(name, null, null, 0, 0);
        }
    }
}
