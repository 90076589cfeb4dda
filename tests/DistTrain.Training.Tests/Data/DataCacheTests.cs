using DistTrain.Core.Options;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Tests.Data;

/// <summary>A host keeps no more than it may, and takes nothing away from who uses it.</summary>
public sealed class DataCacheTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task What_was_used_longest_ago_makes_room()
    {
        await KeepAsync("a", 40, minute: 2);
        await KeepAsync("b", 40, minute: 1);
        using (var entry = await Cache().OpenAsync("c", Cancellation))
        {
            await entry.ReserveAsync(50, Cancellation);
            Assert.Equal(["a", "c"], Kept());
        }

        (await Cache().OpenAsync("a", Cancellation)).Dispose();
        await KeepAsync("d", 50, minute: 9);
        Assert.Equal(["a", "d"], Kept());
    }

    [Fact]
    public async Task What_is_in_use_stays_and_who_finds_no_room_is_told()
    {
        await KeepAsync("a", 40, minute: 1);
        using var used = await Cache().OpenAsync("a", Cancellation);
        used.Share();
        using var also = await Cache().OpenAsync("a", Cancellation);
        using var entry = await Cache().OpenAsync("b", Cancellation);
        await entry.ReserveAsync(60, Cancellation);

        var error = await Assert.ThrowsAsync<DataException>(() => entry.ReserveAsync(61, Cancellation));

        Assert.Equal(
            $"The run's data take 61 bytes, and in {_folder["cache"]} 1 bytes of that are missing: data.cache is '100', and other processes use the rest. Raise data.cache, or end them.",
            error.Message);
        Assert.Equal(["a", "b"], Kept());
        Assert.Equal(40, new FileInfo(used.At("file")).Length);
    }

    [Fact]
    public async Task Data_larger_than_the_limit_are_refused()
    {
        using var entry = await Cache().OpenAsync("a", Cancellation);

        var error = await Assert.ThrowsAsync<DataException>(() => entry.ReserveAsync(101, Cancellation));

        Assert.Equal(
            "The run's data take 101 bytes, and data.cache lets this host keep 100 bytes: raise data.cache (it is '100'), or put the data on a volume and set data.path.", error.Message);
    }

    [Fact]
    public async Task A_data_set_whose_note_is_lost_is_measured()
    {
        await KeepAsync("a", 40, minute: 1);
        File.Delete(_folder["cache/a.size"]);
        using var used = await Cache().OpenAsync("a", Cancellation);
        using var entry = await Cache().OpenAsync("b", Cancellation);

        await Assert.ThrowsAsync<DataException>(() => entry.ReserveAsync(61, Cancellation));
        await entry.ReserveAsync(60, Cancellation);
    }

    [Fact]
    public async Task Who_fetches_is_waited_for_until_the_deadline()
    {
        using var first = await Cache().OpenAsync("a", Cancellation);
        var second = Cache().OpenAsync("a", Cancellation);
        Assert.NotSame(second, await Task.WhenAny(second, Cache(TimeSpan.FromMilliseconds(200)).OpenAsync("a", Cancellation)));
        first.Share();
        (await second).Dispose();

        using var third = await Cache().OpenAsync("a", Cancellation);
        Assert.Equal(
            "Another process of this host has been fetching the run's data for 200ms: end it, and start this one again.",
            (await Assert.ThrowsAsync<DataException>(() => Cache(TimeSpan.FromMilliseconds(200)).OpenAsync("a", Cancellation))).Message);
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private DataCache Cache(TimeSpan? deadline = null) =>
        new(new DataHost { Cache = _folder["cache"], Time = TimeProvider.System }, new DataLocation { Cache = "100" }) { Deadline = deadline ?? TimeSpan.FromSeconds(30) };

    private async Task KeepAsync(string key, int bytes, int minute)
    {
        using (var entry = await Cache().OpenAsync(key, Cancellation))
        {
            await entry.ReserveAsync(bytes, Cancellation);
            await File.WriteAllBytesAsync(entry.At("file"), new byte[bytes], Cancellation);
        }

        File.SetLastWriteTimeUtc(_folder[$"cache/{key}.use"], new DateTime(2026, 1, 1, 0, minute, 0, DateTimeKind.Utc));
    }

    private IEnumerable<string> Kept() => Directory.GetDirectories(_folder["cache"]).Select(f => System.IO.Path.GetFileName(f)).Order();
}
