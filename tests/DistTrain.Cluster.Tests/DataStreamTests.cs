using System.IO.Compression;
using System.Security.Cryptography;
using DistTrain.Cli.Tasks;
using DistTrain.Coordinator;
using DistTrain.Coordinator.Data;
using DistTrain.Core;
using DistTrain.Core.Data;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Protocol;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using DistTrain.Worker.Data;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;

namespace DistTrain.Cluster.Tests;

/// <summary>Workers without a volume get the coordinator's own copy, or what lies at an address: the weights are those of workers that have the data.</summary>
public sealed class DataStreamTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(90);
    private static readonly Uri Nowhere = new("http://127.0.0.1:9");
    private readonly TemporaryFolder _folder = new();

    public DataStreamTests()
    {
        Directory.CreateDirectory(_folder.At("data"));
        Write("train-images-idx3-ubyte", Header(0x803, 64, 6, 6), 64 * 36);
        Write("train-labels-idx1-ubyte", Header(0x801, 64), 64, classes: 3);
        Write("t10k-images-idx3-ubyte", Header(0x803, 16, 6, 6), 16 * 36);
        Write("t10k-labels-idx1-ubyte", Header(0x801, 16), 16, classes: 3);
        File.WriteAllText(_folder.At("data/private.txt"), "Nobody declared this file.");
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Workers_that_get_the_data_have_the_weights_of_workers_that_have_them()
    {
        var having = await RunAsync("having", Options());
        var streamed = await RunAsync("streamed", Options("data.stream=true"));
        Assert.Equal(having.Hashes, streamed.Hashes);
        Assert.NotEmpty(having.Hashes);

        var archive = Zip();
        await using var server = await ServeAsync(archive);
        string[] keys = [$"data.url={server.Urls.Single()}/clothes.zip", $"data.sha256={Hash(archive)}"];
        Assert.Equal(having.Hashes, (await RunAsync("downloaded", Options([.. keys], path: null))).Hashes);
        Assert.Equal(having.Hashes, (await RunAsync("both", Options([.. keys, "data.stream=true"], path: null))).Hashes);

        // The two workers of a run share a cache here, as on one host: what one fetched the other found.
        Assert.Single(Directory.GetDirectories(_folder.At("streamed-cache")));
        Assert.DoesNotContain("private.txt", Directory.GetFiles(_folder.At("streamed-cache"), "*", SearchOption.AllDirectories).Select(Path.GetFileName));
    }

    [Fact]
    public async Task A_text_is_one_file_and_stays_one()
    {
        File.WriteAllBytes(_folder.At("text.txt"), [.. Enumerable.Range(0, 3000).Select(i => (byte)('a' + (i * i % 17)))]);
        string[] text =
        [
            "task=language-model", "model.name=gpt", "model.window=8", "model.width=8", "model.layers=1", "model.heads=1", "data.name=file", "stop.steps=3", "evaluate.everyEpochs=0",
        ];
        var having = await RunAsync("having", Options(text, _folder.At("text.txt")));
        var streamed = await RunAsync("streamed", Options([.. text, "data.stream=true"], _folder.At("text.txt")));
        Assert.Equal(having.Hashes, streamed.Hashes);
    }

    [Fact]
    public async Task A_bit_that_flips_in_the_cache_is_found_at_the_next_start_and_that_file_alone_is_fetched_again()
    {
        var options = Options("data.stream=true", "workers=1");
        var before = await RunAsync("first", options, cache: "cache");
        var victim = Directory.GetFiles(_folder.At("cache"), "train-images-idx3-ubyte", SearchOption.AllDirectories).Single();
        var bytes = File.ReadAllBytes(victim);
        bytes[100] ^= 1;
        File.WriteAllBytes(victim, bytes);

        var after = await RunAsync("second", options, cache: "cache");

        Assert.Equal(before.Hashes, after.Hashes);
        Assert.Contains(after.Log.Entries, e => e.Text == $"{victim} is damaged: it is fetched again.");
        Assert.Equal([bytes.Length], Sent(after.Log));
    }

    [Fact]
    public async Task What_came_before_the_coordinator_was_lost_does_not_come_again()
    {
        var bytes = new byte[40 << 20];
        new Random(1).NextBytes(bytes);
        File.WriteAllBytes(_folder.At("big"), bytes);
        var options = LocalCluster.Options("workers=1", "stop.steps=3", "stop.epochs=0", "failureDetection=5s", $"data.path={_folder.At("big")}", "data.stream=true");
        await using var relay = new Relay(Nowhere);
        Task<RunOutcome> worker;
        await using (var first = await StartAsync("run", options))
        {
            relay.Turn(first.Address);
            var lost = relay.LoseAfterAsync(20 << 20);
            worker = WorkerHost.RunAsync(
                Settings(first, "cache") with { Coordinator = relay.Address, Patience = Soon }, TimeProvider.System, TestContext.Current.CancellationToken);
            await lost.WaitAsync(Soon, TestContext.Current.CancellationToken);
            first.Stop();
            await first.Outcome.WaitAsync(Soon, TestContext.Current.CancellationToken);
        }

        await using var second = await StartAsync("run", options);
        relay.Turn(second.Address);
        var run = await second.EndAsync([worker]).WaitAsync(Soon, TestContext.Current.CancellationToken);

        Assert.True(run.Workers[0].Success, run.Workers[0].Sentence);
        Assert.InRange(Sent(second.Log).Sum(), 1, bytes.Length - (8 << 20));
        Assert.Equal(Hash(bytes), Hash(File.ReadAllBytes(Directory.GetFiles(_folder.At("cache"), "big", SearchOption.AllDirectories).Single())));
    }

    /// <summary>A file is as long in coming as there are shares of it: to read a beginning of gigabytes must not count as silence, nor be done for every share.</summary>
    [Fact]
    public async Task What_another_session_left_is_read_once_and_is_no_silence()
    {
        var bytes = new byte[(3 << 20) + 10];
        new Random(1).NextBytes(bytes);
        var manifest = new DataManifest(isSingleFile: true, [new DataFileEntry("big", bytes.Length, Hash(bytes))]);
        var host = new DataHost { Cache = _folder.At("cache"), Time = TimeProvider.System };
        using var entry = await new DataCache(host, new DataLocation()).OpenAsync(manifest.Fingerprint, TestContext.Current.CancellationToken);
        File.WriteAllBytes(Path.Combine(entry.Parts, "0"), bytes[..(3 << 20)]);
        using var transfer = new DataTransfer(entry, manifest, [0], host);

        Assert.InRange(await ReceiveAsync(3 << 20, 5), 4, int.MaxValue);
        Assert.Equal(1, await ReceiveAsync((3 << 20) + 5, 5));
        Assert.True(transfer.HasEnded);
        Assert.Equal(bytes, File.ReadAllBytes(entry.At("big")));

        async Task<int> ReceiveAsync(int offset, int count)
        {
            var (heard, chunk) = (0, new DataChunk { Offset = offset, Data = ByteString.CopyFrom(bytes, offset, count) });
            Assert.Equal(offset, transfer.Request((1, 1), worker: 0).Offset);
            await transfer.ReceiveAsync(new OneChunk(chunk), () => heard++, TestContext.Current.CancellationToken);
            return heard;
        }
    }

    [Fact]
    public async Task Only_what_is_listed_can_be_asked_for()
    {
        await using var coordinator = await StartAsync("run", Options("data.stream=true", "workers=2"));
        using var channel = GrpcDialer.Open(coordinator.Address, Soon);
        var client = new Protocol.V1.Coordinator.CoordinatorClient(channel);
        await RefusedAsync(StatusCode.FailedPrecondition, "Worker 7 has not joined this run.", worker: 7, run: null);

        using var call = client.Attend();
        await call.RequestStream.WriteAsync(new WorkerMessage { Hello = Hello() });
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
        var (run, term, worker) = (call.ResponseStream.Current.Run, call.ResponseStream.Current.Term, call.ResponseStream.Current.Welcome.Worker);
        using var listing = client.ListData(new DataListRequest { Run = run, Term = term, Worker = worker });
        var list = await listing.ResponseStream.ReadAllAsync().Where(l => l.Files.Count > 0).SingleAsync();
        Assert.Equal(IdxFolder.Names.Order(StringComparer.Ordinal), list.Files.Select(f => f.Name));

        await RefusedAsync(StatusCode.NotFound, "The data are not those that were listed: ask for the list again.", worker, run, new DataRequest { End = 1 });
        var request = new DataRequest { Fingerprint = list.Fingerprint, First = 4, End = 5 };
        await RefusedAsync(StatusCode.InvalidArgument, "There are 4 files, and no byte 0 in file 4 before file 5.", worker, run, request);
        await RefusedAsync(StatusCode.InvalidArgument, "There are 4 files, and no byte 0 in file -1 before file 1.", worker, run, new DataRequest(request) { First = -1, End = 1 });
        await RefusedAsync(StatusCode.InvalidArgument, "There are 4 files, and no byte 24 in file 1 before file 2.", worker, run, new DataRequest(request) { First = 1, End = 2, Offset = 24 });

        async Task RefusedAsync(StatusCode status, string sentence, int worker, ulong? run, DataRequest? request = null)
        {
            request = new DataRequest(request ?? new DataRequest { End = 1 }) { Worker = worker, Term = 1, Run = run ?? await RunIdAsync() };
            using var get = client.GetData(request);
            var refused = await Assert.ThrowsAsync<RpcException>(() => get.ResponseStream.MoveNext(CancellationToken.None));
            Assert.Equal((status, sentence), (refused.StatusCode, refused.Status.Detail));
        }

        async Task<ulong> RunIdAsync()
        {
            using var attend = client.Attend();
            await attend.RequestStream.WriteAsync(new WorkerMessage { Hello = Hello() });
            Assert.True(await attend.ResponseStream.MoveNext(CancellationToken.None));
            return attend.ResponseStream.Current.Run;
        }
    }

    [Fact]
    public async Task Few_are_served_at_a_time_and_who_is_sent_away_finds_a_place_later()
    {
        var writers = Enumerable.Range(0, DataFeed.Places + 1).Select(_ => new HeldWriter()).ToList();
        await using var feed = new DataFeed((_, _) => Task.FromResult(DataFolder.At(_folder.At("data"))), TimeProvider.System);
        var lists = new HeldWriter();
        await feed.ListAsync(lists, CancellationToken.None);
        var request = new DataRequest { Fingerprint = lists.Fingerprint, First = 0, End = 5 };

        var served = writers[1..].Select(w => feed.SendAsync(request, w, CancellationToken.None)).ToList();
        await Task.WhenAll(writers[1..].Select(w => w.HasBegun)).WaitAsync(Soon, TestContext.Current.CancellationToken);
        var refused = await Assert.ThrowsAsync<RpcException>(() => feed.SendAsync(request, writers[0], CancellationToken.None));
        Assert.Equal((StatusCode.ResourceExhausted, "All 4 places are taken: try again."), (refused.StatusCode, refused.Status.Detail));

        writers.ForEach(w => w.Release());
        var sizes = (await Task.WhenAll(served)).Append(await feed.SendAsync(request, writers[0], CancellationToken.None)).Distinct();
        Assert.Equal([Directory.GetFiles(_folder.At("data")).Sum(f => new FileInfo(f).Length)], sizes);
    }

    [Theory]
    [InlineData("larger than the cache", "The run's data take 3.01 kB, and data.cache lets this host keep 2 kB: raise data.cache (it is '2kB'), or put the data on a volume and set data.path.")]
    [InlineData("missing", "The coordinator cannot give out the data. FOLDER/data holds no t10k-labels-idx1-ubyte (nor t10k-labels-idx1-ubyte.gz): put the four files ")]
    [InlineData("shorter", "The coordinator's copy of the data cannot be read: FOLDER/data/train-labels-idx1-ubyte has 3 bytes, and had 72 when it was listed. Restore it, ")]
    [InlineData("changed", "The coordinator sent 'train-labels-idx1-ubyte' with SHA-256 ")]
    [InlineData("not given out", "This coordinator gives out no data: set data.stream and start it again, or give the worker the data with --data.")]
    public async Task What_is_wrong_with_the_data_is_a_sentence(string what, string sentence)
    {
        var listed = new TaskCompletionSource();
        var options = Options("data.stream=true", "workers=1", what.StartsWith("larger", StringComparison.Ordinal) ? "data.cache=2kB" : "data.cache=1GB");
        if (what == "missing")
        {
            File.Delete(_folder.At("data/t10k-labels-idx1-ubyte"));
        }

        await using var coordinator = await LocalCoordinator.StartAsync(
            _folder.At("run"), options, s => s with { Data = what == "not given out" ? null : FindAsync(options) });
        using var channel = GrpcDialer.Open(coordinator.Address, Soon);
        if (what is "shorter" or "changed")
        {
            await ListedAsync(new Protocol.V1.Coordinator.CoordinatorClient(channel));
            var path = _folder.At("data/train-labels-idx1-ubyte");
            var bytes = File.ReadAllBytes(path);
            bytes[^1] ^= 1;
            File.WriteAllBytes(path, what == "shorter" ? [1, 2, 3] : bytes);
        }

        var outcome = await coordinator.StartWorker(Settings(coordinator, "cache")).WaitAsync(Soon, TestContext.Current.CancellationToken);

        Assert.False(outcome.Success);
        Assert.StartsWith(sentence.Replace("FOLDER", _folder.Path), outcome.Sentence, StringComparison.Ordinal);
        Assert.EndsWith(outcome.Sentence, (await coordinator.Outcome).Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_worker_that_is_told_where_its_host_keeps_the_data_asks_nobody()
    {
        var options = Options("data.stream=true", "workers=1");
        await using var coordinator = await StartAsync("run", options);
        var worker = coordinator.StartWorker(Settings(coordinator, "unused") with { DataPath = _folder.At("data") });
        var run = await coordinator.EndAsync([worker]).WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.False(Directory.Exists(_folder.At("unused")));
    }

    private static TaskCatalog Catalog { get; } =
        BuiltInTasks.Catalog().Add<PatternModel, PatternData>("pattern", context => new PatternTask(context));

    private static Hello Hello() => new()
    {
        Protocol = RunMachine.Protocol,
        Version = ProgramIdentity.Version,
        Number = -1,
        Host = "test",
        Address = "http://127.0.0.1:1",
    };

    private static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private static List<long> Sent(LogBook log) =>
        [.. log.Entries.Where(e => e.Event == "data" && e.Text.Contains(" was sent ", StringComparison.Ordinal)).Select(e => long.Parse(e.Text.Split(' ')[4]))];

    private static async Task ListedAsync(Protocol.V1.Coordinator.CoordinatorClient client)
    {
        using var call = client.Attend();
        await call.RequestStream.WriteAsync(new WorkerMessage { Hello = Hello() });
        await call.ResponseStream.MoveNext(CancellationToken.None);
        var welcome = call.ResponseStream.Current;
        using var listing = client.ListData(new DataListRequest { Run = welcome.Run, Term = welcome.Term, Worker = welcome.Welcome.Worker });
        await listing.ResponseStream.ReadAllAsync().Where(l => l.Files.Count > 0).SingleAsync();
    }

    private static async Task<WebApplication> ServeAsync(byte[] bytes)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var server = builder.Build();
        server.Run(http => http.Response.Body.WriteAsync(bytes).AsTask());
        await server.StartAsync();
        return server;
    }

    private static byte[] Header(params int[] words) => [.. words.SelectMany(w => new[] { (byte)(w >> 24), (byte)(w >> 16), (byte)(w >> 8), (byte)w })];

    private void Write(string name, byte[] header, int count, int classes = 256) =>
        File.WriteAllBytes(_folder.At($"data/{name}"), [.. header, .. Enumerable.Range(0, count).Select(i => (byte)(i * i * 7 % classes))]);

    private byte[] Zip()
    {
        using var packed = new MemoryStream();
        using (var zip = new ZipArchive(packed, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var name in IdxFolder.Names)
            {
                using var content = zip.CreateEntry($"clothes/{name}").Open();
                content.Write(File.ReadAllBytes(_folder.At($"data/{name}")));
            }
        }

        return packed.ToArray();
    }

    private RunOptions Options(params string[] settings) => Options(settings, _folder.At("data"));

    private static RunOptions Options(string[] settings, string? path) => LocalCluster.Options(
        [
            "task=image-classification", "model.name=mlp", "data.name=idx", "batch.global=24", "batch.micro=4", "workers=2",
            .. path is null ? [] : new[] { $"data.path={path}" }, .. settings,
        ]);

    private Func<Action<string>, CancellationToken, Task<DataFiles>> FindAsync(RunOptions options) => async (say, cancellation) =>
    {
        var data = await new DataHost { Cache = _folder.At("coordinator-cache"), Time = TimeProvider.System, Say = say }.TakeAsync(options, cancellation);
        return Catalog.Files(options, data.Path);
    };

    private Task<LocalCoordinator> StartAsync(string run, RunOptions options) =>
        LocalCoordinator.StartAsync(_folder.At(run), options, s => s with { Resume = true, Data = DataLocation.Read(options.Data).Location.Stream ? FindAsync(options) : null });

    private WorkerSettings Settings(LocalCoordinator coordinator, string cache, int number = 0) =>
        coordinator.Worker(number) with { Tasks = Catalog, Cache = _folder.At(cache) };

    private async Task<ClusterRun> RunAsync(string name, RunOptions options, string? cache = null)
    {
        await using var coordinator = await StartAsync(name, options);
        var workers = Enumerable.Range(0, options.Workers).Select(n => coordinator.StartWorker(Settings(coordinator, cache ?? $"{name}-cache", n))).ToList();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        return run;
    }

    /// <summary>A call that brings one chunk.</summary>
    private sealed class OneChunk(DataChunk chunk) : IAsyncStreamReader<DataChunk>
    {
        private bool _isOver;

        public DataChunk Current => chunk;

        public Task<bool> MoveNext(CancellationToken cancellationToken) => Task.FromResult(!_isOver && (_isOver = true));
    }

    /// <summary>Takes a chunk only when it is released.</summary>
    private sealed class HeldWriter : IServerStreamWriter<DataChunk>, IServerStreamWriter<DataList>
    {
        private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public WriteOptions? WriteOptions { get; set; }

        public string Fingerprint { get; private set; } = "";

        public Task HasBegun => _begun.Task;

        public void Release() => _released.SetResult();

        public Task WriteAsync(DataChunk message)
        {
            _begun.TrySetResult();
            return _released.Task;
        }

        public Task WriteAsync(DataList message)
        {
            Fingerprint = message.Fingerprint;
            return Task.CompletedTask;
        }

        Task IAsyncStreamWriter<DataChunk>.WriteAsync(DataChunk message, CancellationToken cancellationToken) => WriteAsync(message);

        Task IAsyncStreamWriter<DataList>.WriteAsync(DataList message, CancellationToken cancellationToken) => WriteAsync(message);
    }
}
