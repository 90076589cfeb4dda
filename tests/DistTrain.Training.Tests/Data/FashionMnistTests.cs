using System.Security.Cryptography;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Tests.Data;

/// <summary>
/// Where Fashion-MNIST is looked for, in order: the user's folder alone; else the system's, the cache, the network.
/// </summary>
public sealed class FashionMnistTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<string, byte[]> _server = new()
    {
        ["train-images-idx3-ubyte.gz"] = IdxBytes.Gzip(IdxBytes.Images(4, 28, 28)),
        ["train-labels-idx1-ubyte.gz"] = IdxBytes.Gzip(IdxBytes.Labels(9, 8, 7, 6)),
        ["t10k-images-idx3-ubyte.gz"] = IdxBytes.Gzip(IdxBytes.Images(2, 28, 28)),
        ["t10k-labels-idx1-ubyte.gz"] = IdxBytes.Gzip(IdxBytes.Labels(0, 9)),
    };

    private string Installed => _folder["installed"];

    private string Cache => Path.Combine(_folder["home"], "cache");

    [Fact]
    public async Task Without_the_package_it_is_downloaded_once_into_the_cache()
    {
        await using var server = await ServeAsync();
        var source = Source(server.Address);

        Assert.Equal((4, 2), Counts(source.Load(null)));
        Assert.Equal((4, 2), Counts(source.Load(null)));

        Assert.Equal(4, server.Requests);
        Assert.True(IdxFolder.IsComplete(Cache));
        Assert.False(Directory.Exists(Installed));
    }

    [Fact]
    public async Task Racing_workers_all_get_whole_data()
    {
        await using var server = await ServeAsync();

        var counts = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() => Counts(Source(server.Address).Load("")))));

        Assert.All(counts, c => Assert.Equal((4, 2), c));
        Assert.Equal(4, server.Requests);
    }

    [Fact]
    public async Task Only_the_files_that_the_cache_lacks_are_downloaded()
    {
        await using var server = await ServeAsync();
        Directory.CreateDirectory(Cache);
        File.WriteAllBytes(Path.Combine(Cache, "train-images-idx3-ubyte"), IdxBytes.Images(4, 28, 28));

        Assert.Equal((4, 2), Counts(Source(server.Address).Load(null)));

        Assert.Equal(3, server.Requests);
    }

    [Fact]
    public async Task The_installed_package_comes_before_the_network()
    {
        await using var server = await ServeAsync();
        Write(Installed, _server);

        Assert.Equal((4, 2), Counts(Source(server.Address).Load(null)));

        Assert.Equal(0, server.Requests);
    }

    [Fact]
    public async Task The_users_folder_is_the_only_one_looked_into()
    {
        await using var server = await ServeAsync();
        Write(Installed, _server);

        var error = Assert.Throws<DataException>(() => Source(server.Address).Load(_folder["mine"]));

        Assert.Contains($"{_folder["mine"]} does not exist: put the four files train-images-idx3-ubyte", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, server.Requests);
    }

    [Fact]
    public void Without_network_the_message_names_the_places_and_the_remedies()
    {
        // Nothing listens on port 1 of the loopback interface.
        var error = Assert.Throws<DataException>(() => Source(new Uri("http://127.0.0.1:1/")).Load(null));

        Assert.All(
            [Installed, Cache, "http://127.0.0.1:1/train-images-idx3-ubyte.gz", "apt install dataset-fashion-mnist", "data.path"],
            s => Assert.Contains(s, error.Message, StringComparison.Ordinal));
        Assert.EndsWith(".", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void Without_a_home_the_message_says_so()
    {
        var source = Source(new Uri("http://127.0.0.1:1/")) with { Cache = null };

        Assert.Contains("no home folder", Assert.Throws<DataException>(() => source.Load(null)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_pinned_files_are_the_four_of_the_folder() =>
        Assert.Equal(IdxFolder.Names.Select(n => n + ".gz"), new FashionMnist().Files.Select(f => f.Name));

    public void Dispose() => _folder.Dispose();

    private static (long, long) Counts(ImageData data) => (data.Training.Count, data.Validation.Count);

    private FashionMnist Source(Uri address) => new()
    {
        Folders = [Installed],
        Cache = Cache,
        Files = [.. _server.Select(
            f => new PinnedFile(f.Key, f.Value.Length, Convert.ToHexStringLower(SHA256.HashData(f.Value))))],
        Download = new PinnedDownload(address, TimeProvider.System) { Deadline = TimeSpan.FromSeconds(30) },
    };

    private Task<LoopbackServer> ServeAsync() =>
        LoopbackServer.StartAsync((name, http) => http.Response.Body.WriteAsync(_server[name]).AsTask());

    private static void Write(string folder, Dictionary<string, byte[]> files)
    {
        Directory.CreateDirectory(folder);
        foreach (var (name, bytes) in files)
        {
            File.WriteAllBytes(Path.Combine(folder, name), bytes);
        }
    }
}
