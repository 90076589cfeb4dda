using System.Buffers.Binary;
using System.IO.Compression;

namespace DistTrain.Training.Tests.Data;

/// <summary>Makes small IDX files.</summary>
internal static class IdxBytes
{
    public static byte[] Images(int count, int height, int width, Func<int, byte>? pixel = null) =>
        [.. Header(0x803, count, height, width), .. Enumerable.Range(0, count * height * width).Select(pixel ?? (i => (byte)i))];

    public static byte[] Labels(params byte[] labels) => [.. Header(0x801, labels.Length), .. labels];

    public static byte[] Header(params int[] words)
    {
        var bytes = new byte[4 * words.Length];
        for (var i = 0; i < words.Length; i++)
        {
            BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(4 * i), words[i]);
        }

        return bytes;
    }

    public static byte[] Gzip(byte[] content)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Optimal))
        {
            gzip.Write(content);
        }

        return packed.ToArray();
    }

    /// <summary>
    /// The four files of a data set of 2 x 3 pixels: 6 images to train on, 3 to evaluate, classes 0, 1 and 2.
    /// </summary>
    public static Dictionary<string, byte[]> Folder() => new()
    {
        ["train-images-idx3-ubyte"] = Images(6, 2, 3),
        ["train-labels-idx1-ubyte"] = Labels(0, 1, 2, 0, 1, 2),
        ["t10k-images-idx3-ubyte"] = Images(3, 2, 3, i => (byte)(200 + i)),
        ["t10k-labels-idx1-ubyte"] = Labels(2, 1, 0),
    };
}
