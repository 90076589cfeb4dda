using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;

namespace DistTrain.Cli.Tests.Runs;

/// <summary>Real processes whose data come from an address or from their coordinator: the weights are those of a run that has them.</summary>
public sealed class DataRunTests : IAsyncLifetime
{
    private static readonly byte[] Text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 400).Select(i => $"{i} or not {i * i}\n")));
    private static readonly string Sha256 = Convert.ToHexStringLower(SHA256.HashData(Text));
    private readonly TempFolder _folder = new();
    private readonly Dictionary<string, string> _cache;
    private WebApplication _server = null!;
    private int _requests;

    public DataRunTests() => _cache = new() { ["DISTTRAIN_CACHE"] = _folder["cache"], ["DISTTRAIN__FAILUREDETECTION"] = "20s" };

    private string Address => $"{_server.Urls.Single()}/words.txt";

    public async ValueTask InitializeAsync()
    {
        await File.WriteAllBytesAsync(_folder["text"], Text, TestContext.Current.CancellationToken);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _server = builder.Build();
        _server.Run(http =>
        {
            Interlocked.Increment(ref _requests);
            return http.Response.Body.WriteAsync(Text).AsTask();
        });
        await _server.StartAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Whatever_way_the_data_come_the_run_is_the_same()
    {
        await TrainAsync("having", $"data.path={_folder["text"]}");
        await TrainAsync("downloaded", $"data.url={Address}", $"data.sha256={Sha256}");
        Assert.Equal(1, _requests);

        // A coordinator that gives them out, and workers that know nothing but its address.
        using var coordinator = Command.Start(
            _cache, ["coordinator", .. Run($"data.path={_folder["text"]}", "data.stream=true"), "--listen", "127.0.0.1:0", "--out", _folder["streamed"], "--json", "--workers", "2"]);
        var address = (string)JsonNode.Parse(await coordinator.LineAsync("\"listening\""))!["listening"]!;
        using var first = Command.Start(_cache, "worker", "--coordinator", address);
        using var second = Command.Start(_cache, "worker", "--coordinator", address);
        var ended = await coordinator.EndAsync();
        Assert.Equal((0, ""), (ended.Code, ended.Error));
        Assert.Equal((0, 0), ((await first.EndAsync()).Code, (await second.EndAsync()).Code));

        foreach (var run in (string[])["downloaded", "streamed"])
        {
            var compared = await Command.RunAsync("verify", _folder["having"], _folder[run]);
            Assert.True(compared.Code == 0, compared.Out + compared.Error);
        }

        // Asked later, the run's model finds the data by itself.
        using var asked = Command.Start(_cache, "predict", _folder["downloaded"], "--length", "5");
        Assert.Equal(0, (await asked.EndAsync()).Code);
        Assert.Equal(1, _requests);
    }

    [Fact]
    public async Task A_wrong_hash_is_said_before_there_is_a_run()
    {
        var wrong = new string('0', 64);
        using var command = Command.Start(_cache, ["train", .. Run($"data.url={Address}", $"data.sha256={wrong}"), "--out", _folder["run"]]);
        var ended = await command.EndAsync();
        Assert.Equal(
            (1, $"error: The run's data cannot be had: {Address} is not the file it should be ({Text.Length} bytes with SHA-256 {Sha256} instead of {wrong}). "
                + "See that data.url and data.sha256 belong together, and that data.cache is large enough.\n"),
            (ended.Code, ended.Error));
        Assert.False(Directory.Exists(_folder["run"]));
    }

    [Fact]
    public async Task A_plan_says_how_the_data_come()
    {
        using var command = Command.Start(_cache, ["plan", .. Run($"data.url={Address}", $"data.sha256={Sha256}", "data.stream=true", "data.cache=1GB")]);
        var ended = await command.EndAsync();
        Assert.Equal((0, ""), (ended.Code, ended.Error));
        Assert.Contains(
            $"  data: every worker gets {Address} from the coordinator, checks SHA-256, and keeps at most 1GB of data in its cache\n", ended.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Help_explains_the_keys_for_every_task_with_a_path()
    {
        var ended = await Command.RunAsync("train", "--help");
        foreach (var key in (string[])["data.url", "data.sha256", "data.stream", "data.cache"])
        {
            Assert.Equal(2, ended.Out.Split($"\n  {key} ").Length - 1);
        }
    }

    private static string[] Run(params string[] settings) =>
    [
        "gpt-bytes",
        .. new[] { "data.name=file", "model.window=8", "model.width=8", "model.layers=1", "model.heads=1", "stop.epochs=0", "stop.steps=3", "schedule.warmupSteps=0", "evaluate.everyEpochs=0" }
            .Concat(settings).SelectMany(s => new[] { "--set", s }),
    ];

    private async Task TrainAsync(string name, params string[] settings)
    {
        using var command = Command.Start(_cache, ["train", .. Run(settings), "--out", _folder[name]]);
        var ended = await command.EndAsync();
        Assert.True(ended.Code == 0, ended.Error);
    }
}
