using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Exchange.Links;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>How two workers come to a transport, what they fall back to and why, and what is left of it.</summary>
public sealed class LinkTests : IDisposable
{
    private const string SharedMemory = "shared-memory";
    private readonly TemporaryFolder _folder = new();

    public LinkTests() => Directory.CreateDirectory(_folder.At("one"));

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(SharedMemory)]
    [InlineData("tcp")]
    public async Task Vectors_of_any_size_come_through_and_no_file_is_left_while_they_do(string transport)
    {
        await using var pair = await LinkedPair.StartAsync((_, s) => s with { Folder = _folder.At("one"), Transports = [transport] });
        Assert.Equal((transport, ""), await pair.LinkAsync());
        Assert.Empty(Directory.GetFiles(_folder.At("one")));
        var sizes = new[] { 0, 1, 4096, 4097, 61_440, 61_441, 1_000_003 };
        for (var i = 0; i < sizes.Length; i++)
        {
            await pair.ReduceAsync((ulong)i + 1, sizes[i]);
        }
    }

    [Theory]
    [InlineData(SharedMemory)]
    [InlineData("tcp")]
    [InlineData("grpc")]
    public async Task An_evaluation_of_many_classes_comes_through(string transport)
    {
        await using var pair = await LinkedPair.StartAsync((_, s) => s with { Folder = _folder.At("one"), Transports = Transports.Of(transport) });
        Assert.Equal(transport, (await pair.LinkAsync()).Transport);

        // 50 classes: each counted as each. Then numbers, and the most.
        var sizes = new[] { (0, 2501), (100_000, 1), (0, 32_000), (100_000, 1) };
        for (var i = 0; i < sizes.Length; i++)
        {
            await pair.ReduceAsync((ulong)i + 1, sizes[i].Item1, sizes[i].Item2);
        }
    }

    [Fact]
    public async Task Workers_whose_folders_differ_share_no_memory_and_say_so()
    {
        Directory.CreateDirectory(_folder.At("two"));
        await using var pair = await LinkedPair.StartAsync((rank, s) => s with { Folder = _folder.At(rank == 0 ? "one" : "two") });
        Assert.Equal(("tcp", $"the two workers do not share {_folder.At("two")}"), await pair.LinkAsync());
        await pair.ReduceAsync(1, 100_000);
        Assert.Empty(Directory.GetFiles(_folder.Path, "*", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task Memory_is_made_for_those_who_share_it_and_for_nobody_else()
    {
        // Peers that have been asked, and have not answered.
        var peers = new SlowPeers(39);
        await using var server = GrpcListener.Create("127.0.0.1:0", all => all.AddSingleton(peers), log: new LogBook());
        server.MapGrpcService<SlowPeers>();
        var address = new Uri($"http://{await GrpcListener.StartAsync(server, "127.0.0.1:0", CancellationToken.None)}");
        var settings = new LinkSettings { Folder = _folder.At("one"), Transports = Transports.Of("auto"), Socket = "disttrain-nobody" };
        await using var group = new PeerGroup(new RunTag(1, 1, 1), 0, [.. Enumerable.Repeat(address, 40)], TimeSpan.FromSeconds(60), settings);
        using var cancellation = new CancellationTokenSource();
        var linking = group.LinkAsync(cancellation.Token);
        await peers.AllAsked.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        Assert.InRange(Assert.Single(Directory.GetFiles(_folder.At("one")).Select(path => new FileInfo(path).Length)), 1, 4096);
        await cancellation.CancelAsync();
        Assert.False(await linking);
        Assert.Empty(Directory.GetFiles(_folder.At("one")));
    }

    [Fact]
    public async Task Without_a_folder_for_segments_tcp_is_taken()
    {
        await using var pair = await LinkedPair.StartAsync((_, s) => s with { Folder = _folder.At("missing") });
        var (transport, reason) = await pair.LinkAsync();
        Assert.Equal("tcp", transport);
        Assert.StartsWith("shared-memory: Could not find a part of the path", reason);
        await pair.ReduceAsync(1, 100_000);
    }

    [Fact]
    public async Task One_that_uses_grpc_only_is_reached_by_grpc()
    {
        await using var pair = await LinkedPair.StartAsync((rank, s) => rank == 0 ? s : LinkSettings.GrpcOnly);
        Assert.Equal(("grpc", "the other worker does not use shared-memory; the other worker does not use tcp"), await pair.LinkAsync());
        await pair.ReduceAsync(1, 100_000);
    }

    [Fact]
    public async Task What_does_not_answer_in_time_is_given_up_for_grpc()
    {
        // The name of the socket is nobody's, as in another network namespace; and no TCP is wanted.
        await using var pair = await LinkedPair.StartAsync((_, s) => s with { Folder = _folder.At("one"), Transports = [SharedMemory], Socket = "disttrain-nobody" });
        var (transport, reason) = await pair.LinkAsync();
        Assert.Equal(("grpc", "shared-memory: Connection refused"), (transport, reason));
        await pair.ReduceAsync(1, 100_000);
        Assert.Empty(Directory.GetFiles(_folder.At("one")));
    }

    [Fact]
    public async Task Where_only_http_passes_grpc_is_taken()
    {
        await using var pair = await LinkedPair.StartAsync((_, s) => s with { Transports = ["tcp"] }, onlyHttp: true);
        var (transport, reason) = await pair.LinkAsync();
        Assert.Equal("grpc", transport);
        Assert.StartsWith("tcp: ", reason);
        await pair.ReduceAsync(1, 100_000);
    }

    [Theory]
    [InlineData(SharedMemory)]
    [InlineData("tcp")]
    [InlineData("grpc")]
    public async Task A_link_that_is_cut_is_broken_at_both_ends(string transport)
    {
        await using var pair = await LinkedPair.StartAsync((_, s) => s with { Folder = _folder.At("one"), Transports = Transports.Of(transport) });
        Assert.Equal(transport, (await pair.LinkAsync()).Transport);
        await pair.ReduceAsync(1, 1000);
        Assert.True(pair.Groups[0].Cut(1));
        for (var end = 0; end < 2; end++)
        {
            var (rank, reason) = await pair.Groups[end].Broken.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
            Assert.Equal(1 - end, rank);
            Assert.Contains(" broke: ", reason);
        }
    }

    [Fact]
    public void What_killed_processes_left_is_swept_and_what_somebody_has_is_not()
    {
        const string Name = "disttrain-00000000000000ab-7-0-1-0123456789abcdef";
        var folder = _folder.At("one");
        using var living = SharedSegment.Create(folder, default, 0, 1);
        using var probe = HostProbe.Create(new LinkSettings { Folder = folder, Transports = [SharedMemory] }, default, 0);
        Leave("disttrain-00000000000000ab-7-0-1-0000000000000001", SharedSegment.Bytes);
        Leave("disttrain-00000000000000ab-7-0-1-0000000000000002", 0);
        Leave("disttrain-00000000000000ab-18446744073709551615-2147483647-probe-0000000000000003", HostProbe.Bytes);
        string[] kept =
        [
            living.Name, probe.Name, Leave("somebody-elses", 0), Leave("disttrain-mydata", 0), Leave($"{Name}.bak", 0), Leave($"x{Name}", 0), Leave(Name[..^1], 0),
            Leave("disttrain-00000000000000ab-7-0-1-0000000000000004", HostProbe.Bytes), Leave("disttrain-00000000000000ab-7-0-probe-0000000000000005", SharedSegment.Bytes),
            Leave("disttrain-00000000000000ab-7-0-1-0000000000000006", 1),
        ];
        Assert.Equal(13, Directory.GetFiles(folder).Length);
        var now = DateTime.UtcNow;
        foreach (var path in Directory.GetFiles(folder))
        {
            File.SetLastWriteTimeUtc(path, now - TimeSpan.FromHours(1));
        }

        var young = Leave("disttrain-00000000000000ab-7-0-1-0000000000000007", SharedSegment.Bytes);
        SharedFolder.Sweep(folder, File.GetLastWriteTimeUtc(_folder.At($"one/{young}")));
        Assert.Equal(kept.Append(young).Order(StringComparer.Ordinal), Directory.GetFiles(folder).Select(p => Path.GetFileName(p)).Order(StringComparer.Ordinal));

        string Leave(string name, long bytes)
        {
            using var file = new FileStream(Path.Combine(folder, name), FileMode.CreateNew);
            file.SetLength(bytes);
            return name;
        }
    }

    [Theory]
    [InlineData("../one/disttrain-00000000000000ab-7-0-1-0123456789abcdef")]
    [InlineData("disttrain-00000000000000ab-7-0-1-0123456789abcdef\n")]
    [InlineData("disttrain-../x")]
    [InlineData("disttrain-mydata")]
    [InlineData("passwd")]
    [InlineData("")]
    public void A_name_that_no_worker_gives_is_not_opened(string name) =>
        Assert.EndsWith("is no name of a worker's file", Assert.Throws<InvalidDataException>(() => SharedSegment.Open(_folder.At("one"), name)).Message);

    [Fact]
    public void A_link_or_a_file_of_another_length_is_no_segment()
    {
        var (shorter, link) = ("disttrain-00000000000000ab-7-0-1-0000000000000001", "disttrain-00000000000000ab-7-0-1-0000000000000002");
        File.WriteAllText(_folder.At($"one/{shorter}"), "short");
        File.CreateSymbolicLink(_folder.At($"one/{link}"), _folder.At($"one/{shorter}"));
        Assert.EndsWith("has not 2,101,248 bytes", Assert.Throws<InvalidDataException>(() => SharedSegment.Open(_folder.At("one"), shorter)).Message);
        Assert.EndsWith("is a link", Assert.Throws<InvalidDataException>(() => SharedSegment.Open(_folder.At("one"), link)).Message);
    }

    [Fact]
    public void A_probe_is_its_users_alone_and_nothing_but_one_is_read_as_one()
    {
        using var probe = HostProbe.Create(new LinkSettings { Folder = _folder.At("one"), Transports = [SharedMemory] }, default, 0);
        Assert.True(probe.IsSeenAs(HostProbe.Read(_folder.At("one"), probe.Name)));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, new FileInfo(_folder.At($"one/{probe.Name}")).UnixFileMode);
        using var other = HostProbe.Create(new LinkSettings { Folder = _folder.At("one"), Transports = [SharedMemory] }, default, 0);
        Assert.False(probe.IsSeenAs(HostProbe.Read(_folder.At("one"), other.Name)));
        using var segment = SharedSegment.Create(_folder.At("one"), default, 0, 1);
        Assert.EndsWith("has not 32 bytes", Assert.Throws<InvalidDataException>(() => HostProbe.Read(_folder.At("one"), segment.Name)).Message);
    }

    /// <summary>Peers that never answer.</summary>
    private sealed class SlowPeers(int count) : Peer.PeerBase
    {
        private readonly TaskCompletionSource _all = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _asked;

        public Task AllAsked => _all.Task;

        public override async Task<MeetReply> Meet(MeetRequest request, ServerCallContext context)
        {
            if (Interlocked.Increment(ref _asked) == count)
            {
                _all.SetResult();
            }

            await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
            return new MeetReply();
        }
    }
}
