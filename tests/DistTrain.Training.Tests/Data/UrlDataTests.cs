using System.Collections.Concurrent;
using System.IO.Compression;
using System.Security.Cryptography;
using DistTrain.Cli.Tasks;
using DistTrain.Core.Options;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;
using Microsoft.AspNetCore.Http;

namespace DistTrain.Training.Tests.Data;

/// <summary>What lies at an address comes into a host's cache once, and is the data that a path would name; nothing is read that was not hashed.</summary>
public sealed class UrlDataTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ConcurrentQueue<string> _said = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_file_is_fetched_once_and_has_its_name()
    {
        byte[] text = [.. Enumerable.Range(0, 5000).Select(i => (byte)(i * i >> 3))];
        await using var server = await ServeAsync(text);

        for (var i = 0; i < 2; i++)
        {
            using var data = await TakeAsync(server, "some%20text.txt", Hash(text));
            Assert.Equal("some text.txt", System.IO.Path.GetFileName(data.Path));
            Assert.Equal(text, File.ReadAllBytes(data.Path!));
            Assert.Equal(data.Path, DataLocation.PathOf(data.Run.Data));
            Assert.Null(DataLocation.Read(data.Run.Data).Location.Url);
        }

        Assert.Equal(1, server.Requests);
    }

    [Theory]
    [InlineData("")]
    [InlineData("clothes/")]
    public async Task An_archive_is_the_folder_that_a_path_would_name(string top)
    {
        var archive = Zip(top);
        await using var server = await ServeAsync(archive);
        foreach (var (name, bytes) in IdxBytes.Folder())
        {
            Directory.CreateDirectory(_folder["plain"]);
            File.WriteAllBytes(_folder[$"plain/{name}"], bytes);
        }

        using var data = await TakeAsync(server, "clothes.zip", Hash(archive));

        using var there = BuiltInTasks.Catalog().Create(data.Run);
        using var here = BuiltInTasks.Catalog().Create(DataLocation.At(data.Run, _folder["plain"]));
        Assert.Equal((here.Training.Fingerprint, here.Validation.Fingerprint), (there.Training.Fingerprint, there.Validation.Fingerprint));
        Assert.Equal(["content", "manifest"], Directory.GetFileSystemEntries(_folder[$"cache/{Hash(archive)}"]).Select(f => System.IO.Path.GetFileName(f)).Order());
    }

    [Theory]
    [InlineData("train-images-idx3-ubyte")]
    [InlineData("manifest")]
    public async Task A_bit_that_flips_in_the_cache_is_found_at_the_next_start(string victim)
    {
        var archive = Zip("");
        await using var server = await ServeAsync(archive);
        (await TakeAsync(server, "a.zip", Hash(archive))).Dispose();
        var path = Directory.GetFiles(_folder["cache"], victim, SearchOption.AllDirectories).Single();
        var good = File.ReadAllBytes(path);
        File.WriteAllBytes(path, [.. good[..20], (byte)(good[20] ^ 4), .. good[21..]]);

        using var data = await TakeAsync(server, "a.zip", Hash(archive));

        Assert.Equal(2, server.Requests);
        Assert.Equal(good, File.ReadAllBytes(path));
        Assert.Equal(victim != "manifest", _said.Any(s => s == $"{path} is damaged: it is fetched again."));
    }

    [Fact]
    public async Task What_grants_access_in_an_address_is_not_told()
    {
        await using var server = await ServeAsync([1, 2, 3]);
        var failed = await Assert.ThrowsAsync<DataException>(() => TakeAsync(server, "a.zip?signature=0123abcd", Hash([4])));
        Assert.Contains($"{server.Address}a.zip is not the file it should be", failed.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("signature", failed.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("file:///etc/passwd")]
    [InlineData("/again")]
    public async Task A_redirection_that_leads_nowhere_ends_in_a_sentence(string target)
    {
        await using var server = await LoopbackServer.StartAsync((_, http) =>
        {
            http.Response.Redirect(target);
            return Task.CompletedTask;
        });
        var failed = await Assert.ThrowsAsync<DataException>(() => TakeAsync(server, "a.zip", Hash([4])));
        Assert.StartsWith($"The run's data cannot be had: {server.Address}a.zip could not be downloaded", failed.Message, StringComparison.Ordinal);
        Assert.InRange(server.Requests, 1, 44);
    }

    [Fact]
    public async Task Processes_of_one_host_fetch_once()
    {
        var archive = Zip("");
        await using var server = await ServeAsync(archive);

        var taken = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => Task.Run(() => TakeAsync(server, "a.zip", Hash(archive)))));

        Assert.Equal(1, server.Requests);
        Assert.Single(taken.Select(d => d.Path).Distinct());
        Array.ForEach(taken, d => d.Dispose());
    }

    [Fact]
    public async Task A_wrong_hash_is_told_with_both_and_leaves_nothing()
    {
        await using var server = await ServeAsync([1, 2, 3]);
        var wanted = Hash([4]);

        var error = await Assert.ThrowsAsync<DataException>(() => TakeAsync(server, "a.bin", wanted));

        Assert.Equal(
            $"The run's data cannot be had: {server.Address}a.bin is not the file it should be (3 bytes with SHA-256 {Hash([1, 2, 3])} instead of {wanted}). "
            + "See that data.url and data.sha256 belong together, and that data.cache is large enough.",
            error.Message);
        Assert.DoesNotContain(Directory.GetFiles(_folder[$"cache/{wanted}"], "*", SearchOption.AllDirectories), f => !f.EndsWith(".lock", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_archive_that_is_killed_while_it_is_unpacked_is_unpacked_anew()
    {
        var archive = Zip("");
        await using var server = await ServeAsync(archive);
        (await TakeAsync(server, "a.zip", Hash(archive))).Dispose();

        // As a process leaves it that is killed then: the download whole, some files, no list.
        var entry = _folder[$"cache/{Hash(archive)}"];
        File.Delete(System.IO.Path.Combine(entry, "manifest"));
        File.Delete(System.IO.Path.Combine(entry, "content", "t10k-labels-idx1-ubyte"));
        File.WriteAllText(System.IO.Path.Combine(entry, "content", "train-labels-idx1-ubyte"), "torn");
        Directory.CreateDirectory(System.IO.Path.Combine(entry, "parts"));
        File.WriteAllBytes(System.IO.Path.Combine(entry, "parts", "download"), archive);

        using var data = await TakeAsync(server, "a.zip", Hash(archive));

        using var task = BuiltInTasks.Catalog().Create(data.Run);
        Assert.Equal((6, 3), (task.Training.Count, task.Validation.Count));
        Assert.Equal(1, server.Requests);
    }

    [Fact]
    public async Task Data_that_are_larger_than_the_cache_are_refused_before_they_come()
    {
        await using var server = await ServeAsync(new byte[3000]);

        var error = await Assert.ThrowsAsync<DataException>(() => TakeAsync(server, "a.bin", Hash(new byte[3000]), "data.cache=2kB"));

        Assert.Contains("a.bin is 3,000 bytes long, more than the 2,000 there may be.", error.Message, StringComparison.Ordinal);
        Assert.Contains("data.cache is large enough", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_cache_that_cannot_be_written_or_is_nowhere_is_a_sentence()
    {
        await using var server = await ServeAsync([1]);
        var blocked = _folder.Write("a-file", []);

        var error = await Assert.ThrowsAsync<DataException>(() => TakeAsync(server, "a.bin", Hash([1]), cache: System.IO.Path.Combine(blocked, "cache")));
        Assert.Contains($"The cache {blocked}/cache cannot be used (", error.Message, StringComparison.Ordinal);
        Assert.EndsWith("or set DISTTRAIN_CACHE to another folder.", error.Message, StringComparison.Ordinal);
        Assert.Equal(
            "There is no folder to keep the run's data in, as this user has no home: set the variable DISTTRAIN_CACHE to one.",
            (await Assert.ThrowsAsync<DataException>(() => TakeAsync(server, "a.bin", Hash([1]), cache: null))).Message);
    }

    [Fact]
    public async Task What_takes_its_time_is_told()
    {
        var clock = new SteppedTime(TimeSpan.FromSeconds(1));
        var progress = new TransferProgress("Downloading it", 400_000_000, clock, _said.Enqueue);
        for (var i = 0; i < 8; i++)
        {
            progress.Add(50_000_000);
        }

        progress.End();
        Assert.Equal(
            ["Downloading it: 100 MB of 400 MB, 50 MB/s, 6 s left.", "Downloading it: 350 MB of 400 MB, 50 MB/s, 1 s left.", "Downloading it: 400 MB, done in 9.0 s."], _said);

        _said.Clear();
        var quick = new TransferProgress("Downloading it", null, new SteppedTime(TimeSpan.FromMilliseconds(300)), _said.Enqueue);
        quick.Add(1);
        quick.End();
        Assert.Empty(_said);
        await Task.CompletedTask;
    }

    private static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private static byte[] Zip(string top)
    {
        using var packed = new MemoryStream();
        using (var zip = new ZipArchive(packed, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var (name, bytes) in IdxBytes.Folder())
            {
                using var content = zip.CreateEntry(top + name).Open();
                content.Write(bytes);
            }
        }

        return packed.ToArray();
    }

    private static Task<LoopbackServer> ServeAsync(byte[] bytes) => LoopbackServer.StartAsync(async (_, http) =>
    {
        http.Response.ContentLength = bytes.Length;
        await http.Response.Body.WriteAsync(bytes);
    });

    private Task<HeldData> TakeAsync(LoopbackServer server, string name, string sha256, string? setting = null) =>
        TakeAsync(server, name, sha256, _folder["cache"], setting);

    private Task<HeldData> TakeAsync(LoopbackServer server, string name, string sha256, string? cache, string? setting = null)
    {
        var values = new Dictionary<string, string>
        {
            ["task"] = "image-classification",
            ["model.name"] = "mlp",
            ["data.name"] = "idx",
            ["data.url"] = $"{server.Address}{name}",
            ["data.sha256"] = sha256,
            ["stop.steps"] = "1",
        };
        if (setting?.Split('=') is [var key, var value])
        {
            values[key] = value;
        }

        var (options, problems) = OptionsReader.ReadRun(values);
        Assert.Empty(problems);
        Assert.Empty(BuiltInTasks.Catalog().Check(options));
        return new DataHost { Cache = cache, Time = TimeProvider.System, Say = _said.Enqueue }.TakeAsync(options, TestContext.Current.CancellationToken);
    }

    /// <summary>A clock that goes on by one step whenever it is asked.</summary>
    private sealed class SteppedTime(TimeSpan step) : TimeProvider
    {
        private long _ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => (_ticks += step.Ticks) - step.Ticks;
    }
}
