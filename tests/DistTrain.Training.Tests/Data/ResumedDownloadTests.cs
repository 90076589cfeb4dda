using System.Security.Cryptography;
using DistTrain.Training.Data;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;

namespace DistTrain.Training.Tests.Data;

/// <summary>What has arrived of a file is not fetched again, unless it turns out to belong to another; what a server says of ranges, lengths and versions is not believed.</summary>
public sealed class ResumedDownloadTests : IDisposable
{
    private const int Half = 150_000;
    private static readonly byte[] Content = [.. Enumerable.Range(0, 300_000).Select(i => (byte)(i * i >> 3))];
    private static readonly PinnedFile Pinned = new("data.gz", Length: null, Convert.ToHexStringLower(SHA256.HashData(Content)));
    private readonly TemporaryFolder _folder = new();
    private readonly List<(string? Range, string? IfRange)> _asked = [];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_download_that_breaks_off_goes_on_where_it_was()
    {
        await using var server = await ServeAsync((request, http) => request == 0 ? BreakOffAsync(http) : RestAsync(http));

        await FetchAsync(server);

        AssertArrived();
        Assert.Equal([(null, null), ($"bytes={Half}-", "\"v1\"")], _asked);
    }

    [Fact]
    public async Task Another_process_goes_on_with_what_one_has_left()
    {
        await using var server = await ServeAsync((request, http) => request == 0 ? BreakOffAsync(http) : RestAsync(http));
        await Assert.ThrowsAsync<DownloadException>(() => FetchAsync(server, attempts: 1));
        Assert.Equal(Half, new FileInfo(_folder["data.gz.part"]).Length);

        await FetchAsync(server, attempts: 1);

        AssertArrived();
        Assert.Equal($"bytes={Half}-", _asked[1].Range);
    }

    [Theory]
    [InlineData("ignores the range")]
    [InlineData("sends another range")]
    [InlineData("has no such range")]
    public async Task A_server_that_does_not_go_on_is_asked_for_the_whole(string way)
    {
        await using var server = await ServeAsync((request, http) => request switch
        {
            0 => BreakOffAsync(http),
            1 when way == "sends another range" => RestAsync(http, from: 7),
            1 when way == "has no such range" => StatusAsync(http, StatusCodes.Status416RangeNotSatisfiable),
            _ => WholeAsync(http),
        });

        await FetchAsync(server);

        AssertArrived();
        Assert.Equal(way == "ignores the range" ? 2 : 3, _asked.Count);
        Assert.Equal(way == "ignores the range" ? $"bytes={Half}-" : null, _asked[^1].Range);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_beginning_that_was_damaged_or_is_of_another_version_is_given_up(bool isLonger)
    {
        await using var server = await ServeAsync((request, http) => http.Request.Headers.Range.Count > 0 ? RestAsync(http) : WholeAsync(http));
        File.WriteAllBytes(_folder["data.gz.part"], isLonger ? [.. Content, 1, 2, 3] : [1, .. Content[1..Half]]);

        await FetchAsync(server);

        AssertArrived();
        Assert.Equal([isLonger ? "bytes=300003-" : $"bytes={Half}-", null], _asked.Select(a => a.Range));
    }

    [Fact]
    public async Task A_whole_part_needs_no_more_than_its_name()
    {
        await using var server = await ServeAsync((_, http) => StatusAsync(http, StatusCodes.Status416RangeNotSatisfiable));
        File.WriteAllBytes(_folder["data.gz.part"], Content);

        await FetchAsync(server);

        AssertArrived();
        Assert.Single(_asked);
    }

    [Fact]
    public async Task A_server_that_falls_silent_is_asked_again_for_the_rest()
    {
        var never = new TaskCompletionSource();
        await using var server = await ServeAsync(async (request, http) =>
        {
            if (request == 0)
            {
                http.Response.Headers.ETag = "\"v1\"";
                http.Response.ContentLength = Content.Length;
                await http.Response.Body.WriteAsync(Content.AsMemory(0, Half));
                await http.Response.Body.FlushAsync();
                await Task.WhenAny(never.Task, Task.Delay(Timeout.Infinite, http.RequestAborted));
                return;
            }

            await RestAsync(http);
        });

        await FetchAsync(server, silence: TimeSpan.FromSeconds(0.5));

        AssertArrived();
        Assert.Equal(2, _asked.Count);
    }

    [Fact]
    public async Task A_server_that_gives_a_little_every_time_is_asked_as_often_as_it_takes()
    {
        await using var server = await ServeAsync((_, http) =>
        {
            var from = http.Request.Headers.Range is [{ } range] ? int.Parse(range["bytes=".Length..^1]) : 0;
            return from + 30_000 < Content.Length ? BreakOffAsync(http, from, from + 30_000) : RestAsync(http, from);
        });

        await FetchAsync(server, attempts: 2);

        AssertArrived();
        Assert.Equal(10, _asked.Count);
    }

    [Theory]
    [InlineData(503, 4)]
    [InlineData(429, 4)]
    [InlineData(500, 4)]
    [InlineData(404, 1)]
    [InlineData(403, 1)]
    public async Task A_busy_server_is_asked_again_a_few_times_and_one_that_does_not_know_the_file_is_not(int status, int requests)
    {
        await using var server = await ServeAsync((_, http) => StatusAsync(http, status));

        var error = await Assert.ThrowsAsync<DownloadException>(() => FetchAsync(server));

        Assert.Contains($"{status}", error.Message, StringComparison.Ordinal);
        Assert.Equal(requests, _asked.Count);
        Assert.Empty(Directory.GetFiles(_folder.Path, "*.part*"));
    }

    [Fact]
    public async Task A_length_that_is_a_lie_is_told_as_what_came()
    {
        await using var server = await ServeAsync(async (_, http) =>
        {
            http.Response.ContentLength = 1000;
            await http.Response.Body.WriteAsync(Content.AsMemory(0, 1000));
        });

        var error = await Assert.ThrowsAsync<WrongContentException>(() => FetchAsync(server));

        Assert.EndsWith(
            $"data.gz is not the file it should be (1000 bytes with SHA-256 {Convert.ToHexStringLower(SHA256.HashData(Content[..1000]))} instead of {Pinned.Sha256})",
            error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true, "data.gz is 300,000 bytes long, more than the 299,999 there may be")]
    [InlineData(false, "data.gz is longer than 299,999 bytes, more than there may be")]
    public async Task More_than_there_is_room_for_is_not_fetched(bool saysLength, string says)
    {
        await using var server = await ServeAsync((_, http) => WholeAsync(http, saysLength));

        var error = await Assert.ThrowsAsync<WrongContentException>(() => FetchAsync(server, longest: 299_999));

        Assert.EndsWith(says, error.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.Path, "*.part*"));
    }

    private void AssertArrived()
    {
        Assert.Equal(Content, File.ReadAllBytes(_folder["data.gz"]));
        Assert.Empty(Directory.GetFiles(_folder.Path, "*.part*"));
    }

    private static Task FetchAsync(LoopbackServer server, int attempts, TimeSpan silence, long longest, string folder) =>
        new PinnedDownload(server.Address, TimeProvider.System)
        {
            Deadline = TimeSpan.FromSeconds(60),
            FirstPause = TimeSpan.FromMilliseconds(1),
            Attempts = attempts,
            Silence = silence,
            LongestFile = longest,
        }.FetchAsync(Pinned, folder, TestContext.Current.CancellationToken);

    private Task FetchAsync(LoopbackServer server, int attempts = 4, TimeSpan? silence = null, long longest = long.MaxValue) =>
        FetchAsync(server, attempts, silence ?? TimeSpan.FromSeconds(30), longest, _folder.Path);

    private Task<LoopbackServer> ServeAsync(Func<int, HttpContext, Task> respond) => LoopbackServer.StartAsync((_, http) =>
    {
        int request;
        lock (_asked)
        {
            request = _asked.Count;
            _asked.Add((Text(http.Request.Headers.Range), Text(http.Request.Headers.IfRange)));
        }

        return respond(request, http);

        static string? Text(StringValues header) => header.Count == 0 ? null : header.ToString();
    });

    private static async Task BreakOffAsync(HttpContext http, int from = 0, int to = Half)
    {
        http.Response.Headers.ETag = "\"v1\"";
        if (from > 0)
        {
            http.Response.StatusCode = StatusCodes.Status206PartialContent;
            http.Response.Headers.ContentRange = $"bytes {from}-{Content.Length - 1}/{Content.Length}";
        }

        http.Response.ContentLength = Content.Length - from;
        await http.Response.Body.WriteAsync(Content.AsMemory(from, to - from));
        await http.Response.Body.FlushAsync();

        // The connection is closed, not reset: what was sent arrives.
        http.Features.Get<Microsoft.AspNetCore.Connections.Features.IConnectionLifetimeNotificationFeature>()?.RequestClose();
        throw new IOException("This server breaks off.");
    }

    private static async Task RestAsync(HttpContext http, int from = Half)
    {
        http.Response.StatusCode = StatusCodes.Status206PartialContent;
        http.Response.Headers.ContentRange = $"bytes {from}-{Content.Length - 1}/{Content.Length}";
        http.Response.ContentLength = Content.Length - from;
        await http.Response.Body.WriteAsync(Content.AsMemory(from));
    }

    private static async Task WholeAsync(HttpContext http, bool saysLength = true)
    {
        http.Response.ContentLength = saysLength ? Content.Length : null;
        await http.Response.Body.WriteAsync(Content);
    }

    private static Task StatusAsync(HttpContext http, int status)
    {
        http.Response.StatusCode = status;
        return Task.CompletedTask;
    }
}
