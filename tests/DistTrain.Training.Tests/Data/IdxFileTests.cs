using DistTrain.Training.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Tests.Data;

/// <summary>
/// Whatever is wrong with an IDX file, the user reads one sentence with its path, what is wrong and the remedy.
/// </summary>
public sealed class IdxFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    /// <summary>What is wrong, the bytes, and what the message has to say.</summary>
    private static readonly Dictionary<string, (byte[] Bytes, string Says)> MalformedImages = new()
    {
        ["an empty file"] = ([], "is cut off, its header has 0 of 16 bytes"),
        ["a cut magic"] = ([0, 0, 8], "is cut off, its header has 3 of 16 bytes"),
        ["a cut header"] = (IdxBytes.Header(0x803, 2, 2), "is cut off, its header has 12 of 16 bytes"),
        ["labels instead of images"] = (IdxBytes.Labels(1, 2, 3), "starts with 0x00000801 and IDX images start with 0x00000803"),
        ["a text file"] = ("label,pixel\n1,2\n"u8.ToArray(), "starts with 0x6C616265 and IDX images start with 0x00000803"),
        ["floats instead of bytes"] = (IdxBytes.Header(0xD03, 1, 1, 1), "starts with 0x00000D03"),
        ["no images"] = (IdxBytes.Header(0x803, 0, 2, 2), "announces 0 images"),
        ["images without width"] = (IdxBytes.Header(0x803, 2, 2, 0), "a side of 0 pixels"),
        ["huge images"] = (IdxBytes.Header(0x803, 2, 20_000, 2), "a side of 20000 pixels"),
        ["a negative count"] = (IdxBytes.Header(0x803, -1, 2, 2), "announces 4294967295 images"),
        ["more bytes than an array holds"] = (IdxBytes.Header(0x803, int.MaxValue, 2, 2), "announces 8589934588 bytes"),
        ["more bytes than the file holds"] = (
            IdxBytes.Header(0x803, 500_000_000, 2, 2), "announces 2000000000 bytes of images, more than the file can hold"),
        ["a cut image"] = (
            IdxBytes.Images(3, 2, 2)[..^1], "is cut off, it announces 12 bytes of images, more than the file can hold"),
        ["trailing garbage"] = ([.. IdxBytes.Images(3, 2, 2), 7], "goes on after the 3 images it announces"),
        ["a packed cut image"] = (IdxBytes.Gzip(IdxBytes.Images(3, 2, 2)[..^1]), "is cut off, it holds 11 of 12 bytes of images"),
        ["packed trailing garbage"] = (IdxBytes.Gzip([.. IdxBytes.Images(3, 2, 2), 7]), "goes on after the 3 images it announces"),
        ["garbage after the packed data"] = ([.. IdxBytes.Gzip(IdxBytes.Images(3, 2, 2)), 7, 7, 7], "or followed by something else"),
        ["packed data cut off"] = (
            IdxBytes.Gzip(IdxBytes.Images(300, 2, 2, i => (byte)(i * i * 7)))[..^40], "is cut off, it holds "),
        ["packed data without their sum"] = (IdxBytes.Gzip(IdxBytes.Images(3, 2, 2))[..^6], "its gzip data are damaged"),
        ["packed data that do not match their sum"] = (
            WithFlippedByte(IdxBytes.Gzip(IdxBytes.Images(3, 2, 2)), fromEnd: 6), "its gzip data are damaged"),
        ["nothing but a gzip magic"] = ([0x1F, 0x8B], "is cut off"),
    };

    public static TheoryData<string> WaysToBeMalformed => [.. MalformedImages.Keys];

    [Theory]
    [MemberData(nameof(WaysToBeMalformed))]
    public void A_malformed_file_is_refused_with_a_sentence_that_names_it_and_the_remedy(string way)
    {
        var (bytes, says) = MalformedImages[way];
        var path = _folder.Write("images", bytes);

        var error = Assert.Throws<DataException>(() => IdxFile.ReadImages(path));

        Assert.StartsWith(path, error.Message, StringComparison.Ordinal);
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
        Assert.Matches(@": [^:]+\.$", error.Message);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void A_missing_file_is_named()
    {
        var error = Assert.Throws<DataException>(() => IdxFile.ReadLabels(_folder["nothing"]));

        Assert.Contains("nothing does not exist", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_in_the_place_of_a_file_is_named()
    {
        var error = Assert.Throws<DataException>(() => IdxFile.ReadLabels(_folder.Path));

        Assert.StartsWith(_folder.Path, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, "images.gz")]
    [InlineData(true, "images")]
    public void Plain_and_gzipped_files_are_told_apart_by_their_content(bool packed, string name)
    {
        var content = IdxBytes.Images(5, 2, 3);
        var path = _folder.Write(name, packed ? IdxBytes.Gzip(content) : content);

        var images = IdxFile.ReadImages(path);

        Assert.Equal([5, 2, 3], images.Dimensions);
        Assert.Equal(content[16..], images.Bytes);
    }

    [Fact]
    public void Labels_are_read()
    {
        var labels = IdxFile.ReadLabels(_folder.Write("labels", IdxBytes.Labels(3, 1, 4, 1, 5)));

        Assert.Equal([5], labels.Dimensions);
        Assert.Equal([3, 1, 4, 1, 5], labels.Bytes);
    }

    [Fact]
    public void A_file_longer_than_one_read_is_whole()
    {
        var content = IdxBytes.Images(1500, 40, 50, i => (byte)(i % 251));

        Assert.Equal(content[16..], IdxFile.ReadImages(_folder.Write("images", IdxBytes.Gzip(content))).Bytes);
    }

    [Fact]
    public void A_packed_header_that_announces_two_gigabytes_does_not_allocate_them()
    {
        // Random bytes do not pack: the file is long enough for 2 GB to be possible.
        var noise = new byte[2_000_000];
        new Random(1).NextBytes(noise);
        var path = _folder.Write("images", IdxBytes.Gzip([.. IdxBytes.Header(0x803, 2_000, 1_000, 1_000), .. noise]));
        var before = GC.GetAllocatedBytesForCurrentThread();

        var error = Assert.Throws<DataException>(() => IdxFile.ReadImages(path));

        Assert.Contains("holds 2000000 of 2000000000 bytes", error.Message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16_000_000);
    }

    public void Dispose() => _folder.Dispose();

    private static byte[] WithFlippedByte(byte[] bytes, int fromEnd)
    {
        bytes[^fromEnd] ^= 0x55;
        return bytes;
    }
}
