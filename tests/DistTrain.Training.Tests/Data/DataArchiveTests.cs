using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using CsCheck;
using DistTrain.Core.Tests;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Tests.Data;

/// <summary>An archive yields plain files below its folder and within its limits, or a sentence; whatever it holds, nothing is written elsewhere.</summary>
public sealed class DataArchiveTests : IDisposable
{
    private const int MostFiles = 6;
    private const int MostBytes = 500;

    private static readonly Gen<(string Name, byte[] Content)[]> Entries = Gen.Select(
            Gen.OneOf("a", "b", "c", "..", ".", "", "\u00e4", "a\\b", "x\ny").Array[1, 4].Select(parts => string.Join('/', parts)), Gen.Byte.Array[0, 150])
        .Array[0, 9];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("data.tar.gz")]
    [InlineData("data.zip")]
    public async Task An_archive_yields_its_files_with_their_hashes(string name)
    {
        var archive = Write(name, [("./top/a.bin", [1, 2, 3]), ("top/deep/b", [])], folders: ["top", "top/empty"]);

        var files = await UnpackAsync(archive);

        Assert.Equal(
            [("top/a.bin", 3, Convert.ToHexStringLower(SHA256.HashData([1, 2, 3]))), ("top/deep/b", 0, Convert.ToHexStringLower(SHA256.HashData([])))],
            files.Select(f => (f.Name, f.Bytes, f.Sha256)));
        Assert.Equal([1, 2, 3], File.ReadAllBytes(_folder["out/top/a.bin"]));
        Assert.False(Directory.Exists(_folder["out/top/empty"]));
        Assert.Equal("top", DataArchive.TopFolder(files.Select(f => f.Name)));
    }

    [Theory]
    [InlineData("a/x a/y", "a")]
    [InlineData("a/x b/y", "")]
    [InlineData("a/x y", "")]
    [InlineData("x", "")]
    public void The_folder_around_everything_is_not_part_of_the_data(string names, string top) => Assert.Equal(top, DataArchive.TopFolder(names.Split(' ')));

    [Theory]
    [InlineData("https://h/x.tar.gz", ArchiveKind.TarGz)]
    [InlineData("/X.TGZ", ArchiveKind.TarGz)]
    [InlineData("/x.zip", ArchiveKind.Zip)]
    [InlineData("/x.gz", null)]
    [InlineData("/x.tar.gz.bak", null)]
    public void The_name_says_how_it_is_packed(string name, object? kind) => Assert.Equal(kind, DataArchive.KindOf(name));

    [Theory]
    [InlineData("data.tar.gz", "../out-of-it", "leads out of its folder")]
    [InlineData("data.zip", "../out-of-it", "leads out of its folder")]
    [InlineData("data.tar.gz", "a/../../out-of-it", "leads out of its folder")]
    [InlineData("data.tar.gz", "/tmp/out-of-it", "leads out of its folder")]
    [InlineData("data.zip", "/tmp/out-of-it", "leads out of its folder")]
    [InlineData("data.zip", "..\\out-of-it", "has a backslash or a control character")]
    [InlineData("data.zip", "good", "is there twice")]
    [InlineData("data.tar.gz", "good/below", "lies below a file")]
    public async Task A_name_that_leads_elsewhere_or_meets_another_is_refused(string archive, string name, string why)
    {
        var path = Write(archive, [("good", [1]), (name, [2])]);

        var error = await Assert.ThrowsAsync<DataException>(() => UnpackAsync(path));

        Assert.Equal($"https://h/{archive} holds '{name}', which {why}: make it anew, with plain files below one folder.", error.Message);
        AssertNothingLiesElsewhere();
    }

    [Theory]
    [InlineData(TarEntryType.SymbolicLink)]
    [InlineData(TarEntryType.HardLink)]
    [InlineData(TarEntryType.Fifo)]
    [InlineData(TarEntryType.CharacterDevice)]
    public async Task Links_and_devices_are_refused(TarEntryType type)
    {
        using (var tar = new TarWriter(new GZipStream(File.Create(_folder["data.tar.gz"]), CompressionLevel.Fastest)))
        {
            var entry = new PaxTarEntry(type, "door");
            if (type is TarEntryType.SymbolicLink or TarEntryType.HardLink)
            {
                entry.LinkName = "/etc";
            }

            tar.WriteEntry(entry);
            tar.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, "door/passwd") { DataStream = new MemoryStream([1]) });
        }

        var error = await Assert.ThrowsAsync<DataException>(() => UnpackAsync(_folder["data.tar.gz"]));

        Assert.Contains("holds 'door', which is neither a file nor a folder, but a link or a device", error.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder["out"]));
    }

    [Fact]
    public async Task A_link_in_a_zip_is_refused()
    {
        using (var zip = new ZipArchive(File.Create(_folder["data.zip"]), ZipArchiveMode.Create))
        {
            var entry = zip.CreateEntry("door");
            entry.ExternalAttributes = (0xA000 | 0x1FF) << 16;
            using var content = entry.Open();
            content.Write("/etc"u8);
        }

        Assert.Contains("but a link or a device", (await Assert.ThrowsAsync<DataException>(() => UnpackAsync(_folder["data.zip"]))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("data.tar.gz", "no gzip at all")]
    [InlineData("data.zip", "no zip at all")]
    [InlineData("data.tar.gz", null)]
    [InlineData("data.zip", null)]
    public async Task What_is_no_archive_or_a_torn_one_is_a_sentence(string name, string? text)
    {
        var path = Write(name, [("a", [.. Enumerable.Range(0, 400).Select(i => (byte)(i * i >> 3))])]);
        File.WriteAllBytes(path, text is null ? File.ReadAllBytes(path)[..^200] : Encoding.UTF8.GetBytes(text));

        var error = await Assert.ThrowsAsync<DataException>(() => UnpackAsync(path));

        Assert.Matches($"^https://h/{name} cannot be unpacked, though it is the file it should be \\(.+\\): make the archive anew\\.$", error.Message);
    }

    [Fact]
    public async Task An_archive_of_nothing_is_refused() => Assert.Equal(
        "https://h/data.zip holds no file: make it anew.",
        (await Assert.ThrowsAsync<DataException>(() => UnpackAsync(Write("data.zip", [], folders: ["a"])))).Message);

    [Theory]
    [InlineData("data.tar.gz")]
    [InlineData("data.zip")]
    public async Task A_bomb_is_stopped_at_the_limit(string name)
    {
        var path = Write(name, [("zeros", new byte[50 << 20])]);
        Assert.True(new FileInfo(path).Length < 1 << 20);

        var error = await Assert.ThrowsAsync<DataException>(() => UnpackAsync(path, mostBytes: 1 << 20));

        Assert.Contains("holds more than 1.05 MB, which data.cache leaves for it: raise that", error.Message, StringComparison.Ordinal);
        Assert.True(new FileInfo(_folder["out/zeros"]).Length <= 1 << 20);
    }

    [Fact]
    public void Whatever_an_archive_holds_nothing_is_written_elsewhere_and_no_limit_is_passed() => Gen.Select(Entries, Gen.Bool).Always(
        (entries, isZip) =>
        {
            using var folder = new TemporaryFolder();
            var path = Write(isZip ? "data.zip" : "data.tar.gz", entries, folder: folder);
            var room = 0L;
            var out1 = Directory.CreateDirectory(folder["out"]).FullName;
            var unpacking = new DataArchive(path, DataArchive.KindOf(path)!.Value, "it", new DataHost { Time = TimeProvider.System })
            {
                MostFiles = MostFiles,
                MostBytes = MostBytes,
                MakeRoom = (bytes, _) => Task.FromResult(room = bytes),
            }.UnpackAsync(out1, TestContext.Current.CancellationToken);
            var failure = unpacking.ContinueWith(t => t.Exception?.InnerException, TaskScheduler.Default).GetAwaiter().GetResult();

            Assert.Equal(new[] { path, out1 }.Order(StringComparer.Ordinal), Directory.GetFileSystemEntries(folder.Path).Order(StringComparer.Ordinal));
            var written = Directory.GetFiles(out1, "*", SearchOption.AllDirectories).Select(f => new FileInfo(f)).ToList();
            Assert.All(written, file => Assert.Null(file.LinkTarget));
            Assert.True(written.Count <= MostFiles);
            Assert.True(written.Sum(f => f.Length) <= Math.Min(MostBytes, room));

            // And it fails only where it must, with a sentence.
            Assert.True(failure is null or DataException, failure?.ToString());
            var names = entries.Select(e => e.Name).ToList();
            var isGood = names.Count is > 0 and <= MostFiles && names.Distinct().Count() == names.Count && entries.Sum(e => e.Content.Length) <= MostBytes
                && names.All(n => n.Split('/').All(p => p is "a" or "b" or "c" or "\u00e4")) && !names.Any(n => names.Any(m => m.StartsWith(n + "/", StringComparison.Ordinal)));
            Assert.True(!isGood || failure is null, failure?.ToString());
            if (failure is null)
            {
                Assert.Equal(unpacking.Result.Select(f => f.Name).Order(StringComparer.Ordinal), written.Select(f => System.IO.Path.GetRelativePath(out1, f.FullName)).Order(StringComparer.Ordinal));
            }
        },
        samples: 300);

    private Task<IReadOnlyList<Core.Data.DataFileEntry>> UnpackAsync(string path, long mostBytes = 1 << 30)
    {
        Directory.CreateDirectory(_folder["out"]);
        return new DataArchive(path, DataArchive.KindOf(path)!.Value, $"https://h/{System.IO.Path.GetFileName(path)}", new DataHost { Time = TimeProvider.System }) { MostBytes = mostBytes }
            .UnpackAsync(_folder["out"], TestContext.Current.CancellationToken);
    }

    private void AssertNothingLiesElsewhere()
    {
        Assert.False(File.Exists("/tmp/out-of-it"));
        Assert.Empty(Directory.GetFiles(_folder.Path, "out-of-it", SearchOption.AllDirectories));
    }

    private string Write(string name, (string Name, byte[] Content)[] entries, string[]? folders = null, TemporaryFolder? folder = null)
    {
        var path = (folder ?? _folder)[name];
        if (name.EndsWith(".zip", StringComparison.Ordinal))
        {
            using var zip = new ZipArchive(File.Create(path), ZipArchiveMode.Create);
            Array.ForEach(folders ?? [], f => zip.CreateEntry(f + "/"));
            foreach (var entry in entries)
            {
                using var content = zip.CreateEntry(entry.Name.Length == 0 ? "./" : entry.Name).Open();
                content.Write(entry.Content);
            }
        }
        else
        {
            using var tar = new TarWriter(new GZipStream(File.Create(path), CompressionLevel.Fastest));
            Array.ForEach(folders ?? [], f => tar.WriteEntry(new PaxTarEntry(TarEntryType.Directory, f)));
            foreach (var entry in entries)
            {
                tar.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, entry.Name.Length == 0 ? "/" : entry.Name) { DataStream = new MemoryStream(entry.Content) });
            }
        }

        return path;
    }
}
