using System.Security.Cryptography;
using DistTrain.Training.Data;
using Microsoft.AspNetCore.Http;

namespace DistTrain.Training.Tests.Data;

/// <summary>
/// Under a file's name there is nothing or the whole, verified file, at any moment and whatever the server does.
/// </summary>
public sealed class PinnedDownloadTests : IDisposable
{
    private static readonly byte[] Content = [.. Enumerable.Range(0, 300_000).Select(i => (byte)(i * i >> 3))];
    private static readonly PinnedFile Pinned = new("data.gz", Content.Length, Convert.ToHexStringLower(SHA256.HashData(Content)));
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task The_whole_file_arrives_and_nothing_else_stays()
    {
        await using var server = await LoopbackServer.StartAsync((_, http) => SendAsync(http, Content));

        await FetchAsync(server.Address);

        Assert.Equal(Content, File.ReadAllBytes(_folder["data.gz"]));
        AssertNoPartIsLeft();
    }

    [Fact]
    public async Task The_name_appears_only_after_the_last_byte()
    {
        var half = new TaskCompletionSource();
        var rest = new TaskCompletionSource();
        await using var server = await LoopbackServer.StartAsync(async (_, http) =>
        {
            await http.Response.Body.WriteAsync(Content.AsMemory(0, 150_000));
            await http.Response.Body.FlushAsync();
            half.SetResult();
            await rest.Task;
            await http.Response.Body.WriteAsync(Content.AsMemory(150_000));
        });

        var fetch = FetchAsync(server.Address);
        await half.Task;
        Assert.False(File.Exists(_folder["data.gz"]));
        rest.SetResult();
        await fetch;

        Assert.Equal(Content, File.ReadAllBytes(_folder["data.gz"]));
    }

    [Fact]
    public async Task Racing_downloads_all_succeed_and_ask_the_server_once()
    {
        await using var server = await LoopbackServer.StartAsync((_, http) => SendAsync(http, Content));

        await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => Task.Run(() => FetchAsync(server.Address))));

        Assert.Equal(Content, File.ReadAllBytes(_folder["data.gz"]));
        Assert.Equal(1, server.Requests);
        AssertNoPartIsLeft();
    }

    public static TheoryData<string, string> WaysToFail => new()
    {
        { "another content", "is not the file it should be (300000 bytes with SHA-256" },
        { "too short", "is not the file it should be (299999 bytes" },
        { "too long", "is longer than the 300000 bytes it should have" },
        { "endless", "is longer than the 300000 bytes it should have" },
        { "not found", "could not be downloaded" },
        { "a broken connection", "could not be downloaded" },
    };

    [Theory]
    [MemberData(nameof(WaysToFail))]
    public async Task A_failed_download_leaves_nothing_behind_and_says_why(string way, string says)
    {
        await using var server = await LoopbackServer.StartAsync((_, http) => FailAsync(way, http));

        var error = await Assert.ThrowsAnyAsync<DownloadException>(() => FetchAsync(server.Address));

        Assert.Contains(server.Address.ToString() + "data.gz", error.Message, StringComparison.Ordinal);
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder["data.gz"]));

        // What a broken connection brought, if it was not lost on the way, is the beginning of the file, and is gone on with.
        Assert.All(Parts(), part => Assert.True(way == "a broken connection" && Content.AsSpan().StartsWith(File.ReadAllBytes(_folder[part]))));
    }

    [Fact]
    public async Task A_silent_server_is_given_up_at_the_deadline()
    {
        var never = new TaskCompletionSource();
        await using var server = await LoopbackServer.StartAsync((_, _) => never.Task);
        var download = new PinnedDownload(server.Address, TimeProvider.System) { Deadline = TimeSpan.FromSeconds(1) };

        var error = await Assert.ThrowsAsync<DownloadException>(
            () => download.FetchAsync(Pinned, _folder.Path, TestContext.Current.CancellationToken));

        Assert.Contains("could not be downloaded within 1 s", error.Message, StringComparison.Ordinal);
        never.SetResult();
    }

    [Fact]
    public async Task A_folder_that_cannot_be_made_is_a_sentence()
    {
        var blocked = _folder.Write("a-file", []);
        var download = new PinnedDownload(new Uri("http://127.0.0.1:1/"), TimeProvider.System);

        var error = await Assert.ThrowsAsync<DownloadException>(
            () => download.FetchAsync(Pinned, Path.Combine(blocked, "cache"), TestContext.Current.CancellationToken));

        Assert.Contains("could not be downloaded to " + blocked, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_caller_who_cancels_sees_a_cancellation()
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        var download = new PinnedDownload(new Uri("http://127.0.0.1:1/"), TimeProvider.System);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => download.FetchAsync(Pinned, _folder.Path, cancelled.Token));
    }

    public void Dispose() => _folder.Dispose();

    private Task FetchAsync(Uri address) =>
        new PinnedDownload(address, TimeProvider.System) { Deadline = TimeSpan.FromSeconds(30), FirstPause = TimeSpan.FromMilliseconds(1) }
            .FetchAsync(Pinned, _folder.Path, TestContext.Current.CancellationToken);

    private static Task SendAsync(HttpContext http, byte[] bytes) => http.Response.Body.WriteAsync(bytes).AsTask();

    private static async Task FailAsync(string way, HttpContext http)
    {
        switch (way)
        {
            case "another content":
                await SendAsync(http, [.. Content[..^1], (byte)(Content[^1] + 1)]);
                break;
            case "too short":
                await SendAsync(http, Content[..^1]);
                break;
            case "too long":
                await SendAsync(http, [.. Content, 0]);
                break;
            case "endless":
                while (!http.RequestAborted.IsCancellationRequested)
                {
                    await SendAsync(http, Content);
                }

                break;
            case "not found":
                http.Response.StatusCode = 404;
                break;
            default:
                http.Response.ContentLength = Content.Length;
                await SendAsync(http, Content[..1000]);
                await http.Response.Body.FlushAsync();
                http.Abort();
                break;
        }
    }

    private IEnumerable<string> Parts() => Directory.GetFiles(_folder.Path, "*.part*").Select(f => System.IO.Path.GetFileName(f));

    private void AssertNoPartIsLeft() => Assert.Empty(Parts());
}
