using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using DistTrain.Core.Layouts;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using DistTrain.Training.Native;
using DistTrain.Worker.Exchange.Links;
using Google.Protobuf;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>Frames on shared memory and on TCP: what is sent arrives, in order, however the two ends dawdle; what cannot be is refused before it is used.</summary>
public sealed class FramesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Kinds => ["shared-memory", "tcp"];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Frames_of_both_directions_arrive_in_order_whoever_dawdles(string kind)
    {
        await using var ends = await EndsAsync(kind);
        await Task.WhenAll(
            SendAsync(ends.Caller, 300, seed: 1, (i, head) => (head.Operation, head.Level) = ((ulong)i, i)),
            TakeAsync(ends.Owner, 300, seed: 2, (i, head) => Assert.Equal(((ulong)i, i), (head.Operation, head.Level))),
            SendAsync(ends.Owner, 300, seed: 3, (i, head) =>
            {
                (head.Operation, head.Header) = ((ulong)i, i % 7 == 0 ? new NodeHeader { LossSum = i } : null);
                head.TileSquares.Clear();
                head.TileSquares.AddRange(Enumerable.Range(0, i % 5).Select(t => (double)t));
            }),
            TakeAsync(ends.Caller, 300, seed: 4, (i, head) =>
            {
                // A head is used again: nothing of the one before may be left in it.
                Assert.Equal((ulong)i, head.Operation);
                Assert.Equal(i % 7 == 0 ? new NodeHeader { LossSum = i } : null, head.Header);
                Assert.Equal(Enumerable.Range(0, i % 5).Select(t => (double)t), head.TileSquares);
            }));
    }

    [Fact]
    public async Task Numbers_are_received_where_the_receiver_wants_them()
    {
        await using var ends = await EndsAsync("tcp");
        using var vector = new NativeVector(ShardTable.MaxChunkElements);
        ends.Owner.Place = (head, count, _) => ValueTask.FromResult(head.Level % 3 == 0 ? null : Over(vector, count));
        await Task.WhenAll(
            SendAsync(ends.Caller, 120, seed: 1, (i, head) => head.Level = i),
            TakeAsync(ends.Owner, 120, seed: 2, (i, head) => Assert.Equal(i % 3 == 0 ? Math.Max(0, i - 1) : i, vector.Span(0, 1)[0])));

        static unsafe ChunkPayload Over(NativeVector vector, int count) => ChunkPayload.Over(vector.Data, count);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task What_was_sent_before_the_other_end_ended_still_comes(string kind)
    {
        await using var ends = await EndsAsync(kind);
        await SendAsync(ends.Caller, 3, seed: 1, (i, head) => head.Level = i);
        await ends.Caller.DisposeAsync();
        await TakeAsync(ends.Owner, 3, seed: 2, (i, head) => Assert.Equal(i, head.Level));
        Assert.False(await ends.Owner.MoveNextAsync(TestContext.Current.CancellationToken));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_wait_ends_when_it_is_cancelled(string kind)
    {
        await using var ends = await EndsAsync(kind);
        using var cancellation = new CancellationTokenSource();
        var waiting = ends.Owner.MoveNextAsync(cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    [Fact]
    public async Task Nobody_waits_to_wake_one_that_does_not_listen()
    {
        var segment = SharedSegment.Create(_folder.Path, default, 0, 1);
        using var opened = SharedSegment.Open(_folder.Path, segment.Name);
        var (near, far) = await Sockets.ConnectedAsync(_folder.At("socket"));
        using (far)
        {
            near.Blocking = false;
            for (var fault = SocketError.Success; fault != SocketError.WouldBlock;)
            {
                near.Send([1], SocketFlags.None, out fault);
            }

            near.Blocking = true;
            await using var caller = new SharedFrames<NodeChunk, ShardChunk>(segment, near, isOwner: false, HeadCodec.Shards());
            Assert.True(opened.Ring(toOwner: true).AwaitFrame());
            await Task.Run(() => caller.SendAsync(new NodeChunk(), ChunkPayload.Empty, TestContext.Current.CancellationToken).AsTask(), TestContext.Current.CancellationToken)
                .WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
            Assert.True(opened.Ring(toOwner: true).HasFrame);
        }
    }

    [Fact]
    public void A_head_with_a_field_that_is_not_known_here_leaves_nothing_behind()
    {
        // Field 14, a number, after the known ones.
        byte[] bytes = [.. new NodeChunk { Run = 7, Level = 2 }.ToByteArray(), 14 << 3, 99];
        var codec = HeadCodec.Nodes();
        for (var frame = 0; frame < 1000; frame++)
        {
            codec.Read(bytes);
            Assert.Equal((7UL, 2), (codec.Head.Run, codec.Head.Level));
        }

        Assert.InRange(codec.Head.CalculateSize(), 0, 2 * bytes.Length);
    }

    [Fact]
    public async Task A_sender_waits_for_a_slot_and_learns_that_nobody_will_free_it()
    {
        await using var ends = await EndsAsync("shared-memory");
        await SendAsync(ends.Caller, SharedSegment.Slots, seed: 1, (_, _) => { });
        var next = ends.Caller.SendAsync(new NodeChunk { Level = 9 }, ChunkPayload.Empty, TestContext.Current.CancellationToken).AsTask();
        Assert.False(next.IsCompleted);

        // A slot is free when the frame after the one in it is asked for.
        Assert.True(await ends.Owner.MoveNextAsync(TestContext.Current.CancellationToken));
        Assert.False(next.IsCompleted);
        Assert.True(await ends.Owner.MoveNextAsync(TestContext.Current.CancellationToken));
        await next.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);

        var last = ends.Caller.SendAsync(new NodeChunk(), ChunkPayload.Empty, TestContext.Current.CancellationToken).AsTask();
        await ends.Owner.DisposeAsync();
        Assert.Equal("it ended the call", (await Assert.ThrowsAsync<IOException>(() => last)).Message);
    }

    [Theory]
    [InlineData(128, 5UL, "5 frames are under way in 4 slots")]
    [InlineData(128, ulong.MaxValue, "frames are under way in 4 slots")]
    [InlineData(4096, (ulong)uint.MaxValue, "says it holds -1 bytes")]
    [InlineData(4096, (ulong)(ShardTable.MaxChunkElements + 1) << 32, "says it holds 0 bytes and 61441 numbers")]
    [InlineData(4096, 16_377UL | 1UL << 32, "says it holds 16377 bytes and 1 numbers")]
    [InlineData(4096, 262_137UL, "says it holds 262137 bytes and 0 numbers")]
    public async Task Shared_memory_that_says_what_cannot_be_is_refused(long offset, ulong value, string why)
    {
        await using var ends = await EndsAsync("shared-memory");
        await ends.Caller.SendAsync(new NodeChunk { Level = 1 }, ChunkPayload.Empty, TestContext.Current.CancellationToken);
        using (var file = new FileStream(ends.Path!, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            var bytes = new byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
            file.Position = offset;
            file.Write(bytes);
        }

        Assert.Contains(why, (await Assert.ThrowsAsync<InvalidDataException>(async () => await ends.Owner.MoveNextAsync(TestContext.Current.CancellationToken))).Message);
    }

    [Theory]
    [InlineData(-1, 0, "a message says it holds -1 bytes")]
    [InlineData(16_377, 1, "a message says it holds 16377 bytes and 1 numbers")]
    [InlineData(262_137, 0, "a message says it holds 262137 bytes and 0 numbers")]
    [InlineData(0, -1, "and -1 numbers")]
    [InlineData(0, ShardTable.MaxChunkElements + 1, "61441 numbers; a chunk has at most 61440")]
    [InlineData(3, 0, "a message is refused")]
    public async Task A_frame_that_says_what_cannot_be_is_refused(int head, int count, string why)
    {
        var (near, far) = await SocketsAsync();
        await using var owner = new TcpFrames<ShardChunk, NodeChunk>(near, HeadCodec.Nodes());
        using (far)
        {
            var bytes = new byte[11];
            BinaryPrimitives.WriteInt32LittleEndian(bytes, head);
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(4), count);
            bytes.AsSpan(8).Fill(0xFF);
            await far.SendAsync(bytes, TestContext.Current.CancellationToken);
            Assert.Contains(why, (await Assert.ThrowsAsync<InvalidDataException>(async () => await owner.MoveNextAsync(TestContext.Current.CancellationToken))).Message);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_head_alone_may_take_the_place_of_numbers_and_no_more(string kind)
    {
        await using var ends = await EndsAsync(kind);
        using var one = ChunkPayload.Rent(1);
        one.Values.Fill(3);
        var none = ChunkPayload.Empty;
        foreach (var (metrics, payload) in new[] { (2000, one), (32_700, none), (1, one), (2100, none) })
        {
            var head = new NodeChunk { Level = metrics, Header = new NodeHeader { MetricSums = { Enumerable.Range(0, metrics).Select(m => (double)m) } } };
            var sending = ends.Caller.SendAsync(head, payload, TestContext.Current.CancellationToken).AsTask();
            Assert.True(await ends.Owner.MoveNextAsync(TestContext.Current.CancellationToken));
            await sending;
            Assert.Equal(head, ends.Owner.Head);
            Assert.Equal(payload.Values.ToArray(), ends.Owner.Payload.Values.ToArray());
        }

        foreach (var (metrics, payload) in new[] { (2100, one), (33_000, none) })
        {
            var head = new NodeChunk { Header = new NodeHeader { MetricSums = { new double[metrics] } } };
            var refused = await Assert.ThrowsAsync<InvalidDataException>(async () => await ends.Caller.SendAsync(head, payload, TestContext.Current.CancellationToken));
            Assert.EndsWith("too long for a frame: set transport to grpc", refused.Message);
        }
    }

    [Theory]
    [InlineData(3)]
    [InlineData(9)]
    [InlineData(12)]
    public async Task A_connection_that_ends_within_a_frame_is_an_error(int bytes)
    {
        var (near, far) = await SocketsAsync();
        await using var owner = new TcpFrames<ShardChunk, NodeChunk>(near, HeadCodec.Nodes());
        var frame = new byte[8 + 2 + 8];
        (frame[0], frame[4], frame[8], frame[9]) = (2, 2, 0x40, 1);
        await far.SendAsync(frame.AsMemory(0, bytes), TestContext.Current.CancellationToken);
        far.Dispose();
        await Assert.ThrowsAsync<IOException>(async () => await owner.MoveNextAsync(TestContext.Current.CancellationToken));
    }

    private static async Task SendAsync<TSent, TReceived>(IFrameStream<TSent, TReceived> end, int frames, int seed, Action<int, TSent> fill)
        where TSent : IBufferMessage, new()
    {
        var (random, head) = (new Random(seed), new TSent());
        for (var i = 0; i < frames; i++)
        {
            fill(i, head);
            using var payload = ChunkPayload.Rent(i % 50 == 49 ? ShardTable.MaxChunkElements : i * 37 % 6000);
            payload.Values.Fill(i);
            await end.SendAsync(head, payload, TestContext.Current.CancellationToken);
            await DawdleAsync(random);
        }
    }

    private static async Task TakeAsync<TSent, TReceived>(IFrameStream<TSent, TReceived> end, int frames, int seed, Action<int, TReceived> check)
    {
        var random = new Random(seed);
        for (var i = 0; i < frames; i++)
        {
            Assert.True(await end.MoveNextAsync(TestContext.Current.CancellationToken));
            check(i, end.Head);
            Assert.Equal(i % 50 == 49 ? ShardTable.MaxChunkElements : i * 37 % 6000, end.Payload.Count);
            Assert.Equal(-1, end.Payload.Values.IndexOfAnyExcept(i));
            if (end.Payload.IsOwned)
            {
                end.Payload.Dispose();
            }

            await DawdleAsync(random);
        }
    }

    /// <summary>Lets others go first, or takes its time, as chance has it.</summary>
    private static async Task DawdleAsync(Random random)
    {
        if (random.Next(3) == 0)
        {
            await Task.Yield();
        }
        else if (random.Next(8) == 0)
        {
            Thread.SpinWait(random.Next(20_000));
        }
    }

    private async Task<Ends> EndsAsync(string kind)
    {
        if (kind == "tcp")
        {
            var (one, other) = await SocketsAsync();
            return new Ends(new TcpFrames<NodeChunk, ShardChunk>(one, HeadCodec.Shards()), new TcpFrames<ShardChunk, NodeChunk>(other, HeadCodec.Nodes()), null);
        }

        var segment = SharedSegment.Create(_folder.Path, default, 0, 1);
        var opened = SharedSegment.Open(_folder.Path, segment.Name);
        Assert.Equal(segment.Content.ToArray(), opened.Content.ToArray());
        var (near, far) = await SocketsAsync();
        return new Ends(
            new SharedFrames<NodeChunk, ShardChunk>(segment, near, isOwner: false, HeadCodec.Shards()),
            new SharedFrames<ShardChunk, NodeChunk>(opened, far, isOwner: true, HeadCodec.Nodes()), _folder.At(segment.Name));
    }

    private static async Task<(Socket Near, Socket Far)> SocketsAsync()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var near = new Socket(SocketType.Stream, ProtocolType.Tcp);
        var accepting = listener.AcceptSocketAsync(TestContext.Current.CancellationToken);
        await near.ConnectAsync(listener.LocalEndpoint, TestContext.Current.CancellationToken);
        return (near, await accepting);
    }

    private sealed record Ends(IFrameStream<NodeChunk, ShardChunk> Caller, IFrameStream<ShardChunk, NodeChunk> Owner, string? Path) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Caller.DisposeAsync();
            await Owner.DisposeAsync();
        }
    }
}
