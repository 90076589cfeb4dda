using CsCheck;
using DistTrain.Core.Data;

namespace DistTrain.Core.Tests.Data;

/// <summary>What data consist of is known to the bit, and a name from elsewhere never leads out of its folder.</summary>
public sealed class DataManifestTests
{
    private static readonly string Hash = new('a', 64);
    private static readonly Gen<string> Part = Gen.OneOf("a", "b.gz", "..", ".", "", "\u00e4", "x y", "\n", "\\", "c:", "...");

    [Fact]
    public void What_is_written_is_read_back_and_no_character_may_change()
    {
        var manifest = new DataManifest(false, [new("b/two words", 3, Hash), new("a", 0, new string('0', 64))]);
        var text = manifest.Write();
        Assert.Equal(["a", "b/two words"], manifest.Files.Select(f => f.Name));
        Assert.Equal((3L, false), (manifest.Bytes, manifest.IsSingleFile));
        Assert.Equal(manifest.Files, DataManifest.Parse(text)!.Files);
        for (var at = 0; at < text.Length; at++)
        {
            Assert.Null(DataManifest.Parse(text[..at] + (char)(text[at] ^ 1) + text[(at + 1)..]));
            Assert.Null(DataManifest.Parse(text[..at]));
        }
    }

    [Fact]
    public void Another_name_length_hash_or_form_is_another_fingerprint()
    {
        var all = new[]
        {
            new DataManifest(false, [new("a", 1, Hash)]), new DataManifest(true, [new("a", 1, Hash)]), new DataManifest(false, [new("b", 1, Hash)]),
            new DataManifest(false, [new("a", 2, Hash)]), new DataManifest(false, [new("a", 1, new string('b', 64))]),
        };
        Assert.Equal(all.Length, all.Select(m => m.Fingerprint).Distinct().Count());
    }

    [Theory]
    [InlineData("a a", "the name 'a' is there twice")]
    [InlineData("a a/b", "the name 'a/b' lies below a file")]
    [InlineData("../a", "the name '../a' leads out of its folder")]
    [InlineData("", "the name '' is empty")]
    public void Names_that_do_not_go_together_are_refused(string names, string problem) =>
        Assert.Equal(problem, Assert.Throws<FormatException>(() => new DataManifest(false, names.Split(' ').Select(n => new DataFileEntry(n, 1, Hash)))).Message);

    [Fact]
    public void Lengths_that_overflow_are_refused() =>
        Assert.Throws<FormatException>(() => new DataManifest(false, [new("a", long.MaxValue - 1, Hash), new("b", 5, Hash)]));

    [Fact]
    public void A_name_that_is_let_through_stays_below_its_folder() =>
        Part.Array[1, 6].Select(parts => string.Join('/', parts)).Always(
            name =>
            {
                if (DataName.Problem(name) is null)
                {
                    Assert.StartsWith("/folder/", Path.GetFullPath(Path.Combine("/folder", name)), StringComparison.Ordinal);
                    Assert.Equal(name, Path.GetRelativePath("/folder", Path.Combine("/folder", name)));
                }
            },
            samples: 2000);

    [Theory]
    [InlineData("./a/b", "a/b")]
    [InlineData("././a/", "a")]
    [InlineData("./", "")]
    [InlineData("/a", "/a")]
    public void What_archivers_put_around_a_name_goes(string given, string name) => Assert.Equal(name, DataName.Trim(given));

    [Fact]
    public void A_long_name_or_part_is_refused()
    {
        Assert.Equal("has a part longer than 255 bytes", DataName.Problem(new string('\u00e4', 128)));
        Assert.Equal("is longer than 1024 bytes", DataName.Problem(string.Join('/', Enumerable.Repeat("abc", 257))));
    }
}
