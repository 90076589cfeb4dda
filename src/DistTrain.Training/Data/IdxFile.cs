using System.Buffers.Binary;
using System.IO.Compression;
using System.IO.Hashing;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Data;

/// <summary>The content of an IDX file of unsigned bytes.</summary>
/// <param name="Path">Where it was read from, for messages.</param>
/// <param name="Dimensions">Its dimensions, the number of items first.</param>
/// <param name="Bytes">The items, the last dimension running fastest.</param>
public sealed record IdxContent(string Path, IReadOnlyList<int> Dimensions, byte[] Bytes)
{
    /// <summary>How many items.</summary>
    public int Count => Dimensions[0];
}

/// <summary>
/// Reads IDX files, the format of MNIST and its relatives (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
/// handwritten digits"): two zero bytes, the type of an element (8: unsigned byte), the number of dimensions, the
/// dimensions as 32-bit big-endian words, the elements.
/// </summary>
/// <remarks>
/// Plain and gzipped files are told apart by their first bytes, whatever their names. Nothing in a file is believed:
/// memory grows with what has been read, not with what the header announces. Everything wrong is a
/// <see cref="DataException"/>.
/// </remarks>
public static class IdxFile
{
    private const byte UnsignedByte = 8;
    private const int MaxSide = 1 << 14;
    private const int FirstRead = 1 << 20;

    /// <summary>DEFLATE cannot pack tighter than this (RFC 1951; zlib's technical details give 1032:1).</summary>
    private const long MaxCompression = 1032;

    /// <summary>Reads images, [n, height, width].</summary>
    /// <exception cref="DataException">
    /// The file is missing, damaged or something else; the message says which and what to do.
    /// </exception>
    public static IdxContent ReadImages(string path) => Read(path, "images", dimensions: 3);

    /// <summary>Reads labels, [n].</summary>
    /// <exception cref="DataException">
    /// The file is missing, damaged or something else; the message says which and what to do.
    /// </exception>
    public static IdxContent ReadLabels(string path) => Read(path, "labels", dimensions: 1);

    private static IdxContent Read(string path, string what, int dimensions)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            var packed = IsGzip(file);
            using var content = packed ? new GZipStream(file, CompressionMode.Decompress, leaveOpen: true) : (Stream)file;
            var limit = packed ? file.Length * MaxCompression : file.Length;
            var sum = new Crc32();
            var result = Read(content, path, what, dimensions, limit, sum);
            if (content.ReadByte() >= 0)
            {
                throw new DataException(
                    $"{path} goes on after the {result.Count} {what} it announces: it is damaged; fetch it again.");
            }

            if (packed)
            {
                CheckTrailer(file, sum.GetCurrentHashAsUInt32());
            }

            return result;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new DataException($"{path} does not exist: put the file of {what} there, or name another.", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new DataException($"{path} may not be read, or is a folder: make it a readable file of {what}.", e);
        }
        catch (InvalidDataException e)
        {
            throw new DataException(
                $"{path} cannot be unpacked, its gzip data are damaged, cut off or followed by something else: "
                + "fetch it again.",
                e);
        }
        catch (IOException e)
        {
            throw new DataException(
                $"{path} cannot be read ({e.Message}): check the disk it lies on, or fetch it again.", e);
        }
    }

    private static bool IsGzip(FileStream file)
    {
        Span<byte> magic = stackalloc byte[2];
        var got = file.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false);
        file.Position = 0;
        return got == magic.Length && magic is [0x1F, 0x8B];
    }

    /// <summary>
    /// Holds the content against the sum at the very end of the file (RFC 1952). GZipStream checks it where it finds
    /// it, but takes a file without it, and one that goes on behind it, for whole.
    /// </summary>
    private static void CheckTrailer(FileStream file, uint sum)
    {
        Span<byte> trailer = stackalloc byte[8];
        file.Position = Math.Max(0, file.Length - trailer.Length);
        if (file.ReadAtLeast(trailer, trailer.Length, throwOnEndOfStream: false) < trailer.Length
            || BinaryPrimitives.ReadUInt32LittleEndian(trailer) != sum)
        {
            throw new InvalidDataException("The sum at the end of the file is not that of its content.");
        }
    }

    private static IdxContent Read(Stream content, string path, string what, int dimensions, long limit, Crc32 sum)
    {
        Span<byte> head = stackalloc byte[4 + 4 * dimensions];
        var got = content.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
        var magic = UnsignedByte << 8 | dimensions;
        if (got >= 4 && BinaryPrimitives.ReadInt32BigEndian(head) is var found && found != magic)
        {
            throw new DataException(
                $"{path} starts with 0x{found:X8} and IDX {what} start with 0x{magic:X8}: put an IDX file of {what} there.");
        }

        if (got < head.Length)
        {
            throw Truncated(path, $"its header has {got} of {head.Length} bytes");
        }

        var sizes = new int[dimensions];
        var total = 1L;
        for (var d = 0; d < dimensions; d++)
        {
            var size = BinaryPrimitives.ReadUInt32BigEndian(head[(4 + 4 * d)..]);
            if (size == 0 || size > (d == 0 ? int.MaxValue : MaxSide))
            {
                throw new DataException(d == 0
                    ? $"{path} announces {size} {what} and 1 to {int.MaxValue} can be read: put a file with {what} there."
                    : $"{path} announces images with a side of {size} pixels and 1 to {MaxSide} can be read: "
                        + "put other images there.");
            }

            // No overflow: 2^31 * 2^14 * 2^14 < 2^63.
            sizes[d] = (int)size;
            total *= size;
        }

        if (total > Array.MaxLength)
        {
            throw new DataException($"{path} announces {total} bytes and at most {Array.MaxLength} can be read: split it.");
        }

        if (head.Length + total > limit)
        {
            throw Truncated(path, $"it announces {total} bytes of {what}, more than the file can hold");
        }

        var bytes = ReadBytes(content, path, what, (int)total);
        sum.Append(head);
        sum.Append(bytes);
        return new IdxContent(path, sizes, bytes);
    }

    private static byte[] ReadBytes(Stream content, string path, string what, int total)
    {
        var bytes = new byte[Math.Min(total, FirstRead)];
        var have = 0;
        while (true)
        {
            have += content.ReadAtLeast(bytes.AsSpan(have), bytes.Length - have, throwOnEndOfStream: false);
            if (have < bytes.Length)
            {
                throw Truncated(path, $"it holds {have} of {total} bytes of {what}");
            }

            if (have == total)
            {
                return bytes;
            }

            Array.Resize(ref bytes, (int)Math.Min(total, 2L * bytes.Length));
        }
    }

    private static DataException Truncated(string path, string how) =>
        new($"{path} is cut off, {how}: fetch it again.");
}
