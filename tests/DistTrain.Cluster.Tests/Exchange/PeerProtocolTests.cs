using System.Runtime.InteropServices;
using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using DistTrain.Training.Native;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Healing;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using WireHeader = DistTrain.Protocol.V1.NodeHeader;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>
/// The exchange as exchange.proto describes it, spoken to our side by generated code alone, over a socket. Rank 0 is ours; the test is rank 1. Whatever is
/// refused leaves the sum as if it had never come.
/// </summary>
public sealed class PeerProtocolTests : IAsyncLifetime
{
    private const ulong Weights = 42;
    private static readonly RunTag Tag = new(0xABCD, 1, 3);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly ParameterLayout _layout = new([("p", [10_000], SlotKind.Parameter)]);
    private readonly LogBook _log = new();
    private readonly PeerGroupDirectory _directory = new(TimeProvider.System, Patience);
    private NativeVector _own = null!;
    private NativeVector _reduced = null!;
    private WebApplication _server = null!;
    private PeerGroup _group = null!;
    private AllReduce _operation = null!;
    private GrpcChannel _channel = null!;
    private ShardTable _shards = null!;

    public async ValueTask InitializeAsync()
    {
        (_own, _reduced) = (new NativeVector(_layout.Count), new NativeVector(_layout.Count));
        _own.Span(0, 10_000).Fill(1.5f);
        _shards = new ShardTable(_layout.Tiles, 2);
        _server = GrpcListener.Create("127.0.0.1:0", services => services.AddSingleton(new PeerService(_directory, new StateSource())), log: _log);
        _server.MapGrpcService<PeerService>();
        var bound = await GrpcListener.StartAsync(_server, "127.0.0.1:0", CancellationToken.None);
        var address = new Uri($"http://{bound}");
        _group = new PeerGroup(Tag, 0, [address, address], Patience);
        _directory.Set(_group);
        var spec = Plans.Spec(2, [new BlockRange(0, 1), new BlockRange(1, 2)]);
        _operation = new AllReduce(
            7, Weights, 0, spec, _shards, _layout.Tiles, 0, new ReducedVector(_reduced, new double[_layout.Tiles.Count]), _group);
        _group.Operations.Begin(_operation);
        _channel = GrpcDialer.Open(address, Patience);
    }

    public async ValueTask DisposeAsync()
    {
        _channel.Dispose();
        await _group.DisposeAsync();
        await _server.DisposeAsync();
        _own.Dispose();
        _reduced.Dispose();
    }

    [Fact]
    public async Task A_generated_client_exchanges_with_our_server()
    {
        await ExchangeAsync();
        Assert.Empty(_log.Errors);
    }

    [Theory]
    [InlineData("a stale generation", StatusCode.FailedPrecondition, "it belongs to generation 2, this is generation 3")]
    [InlineData("a foreign run", StatusCode.FailedPrecondition, "it belongs to run")]
    [InlineData("a foreign run of a later generation", StatusCode.FailedPrecondition, "it belongs to run")]
    [InlineData("an earlier term", StatusCode.FailedPrecondition, "it belongs to term 0, this is term 1")]
    [InlineData("a rank outside the world", StatusCode.InvalidArgument, "Rank 2 is no peer of rank 0 in a world of 2")]
    [InlineData("a negative rank", StatusCode.InvalidArgument, "Rank -1 is no peer of rank 0")]
    [InlineData("the own rank", StatusCode.InvalidArgument, "Rank 0 is no peer of rank 0")]
    [InlineData("a node at once", StatusCode.InvalidArgument, "A call begins with operation 0")]
    public async Task A_call_that_does_not_belong_here_is_refused_at_its_first_message(string what, StatusCode status, string why)
    {
        var hello = Head(0);
        switch (what)
        {
            case "a stale generation": hello.Generation = 2; break;
            case "a foreign run": hello.Run = 1; break;
            case "a foreign run of a later generation": (hello.Run, hello.Generation) = (1, 9); break;
            case "an earlier term": hello.Term = 0; break;
            case "a rank outside the world": hello.Rank = 2; break;
            case "a negative rank": hello.Rank = -1; break;
            case "the own rank": hello.Rank = 0; break;
            default: hello = Node(0); break;
        }

        using var call = Open();
        await call.RequestStream.WriteAsync(hello);
        await RefusedAsync(call, status, why);
        await ExchangeAsync();
    }

    [Theory]
    [InlineData("a stale generation", "it belongs to generation 2, this is generation 3")]
    [InlineData("a foreign run", "it belongs to run")]
    [InlineData("another term", "it belongs to term 2, this is term 1")]
    [InlineData("another rank", "it says rank 0 on the call of rank 1")]
    [InlineData("an operation that is over", "operation 6 is not in progress")]
    [InlineData("an operation that cannot have begun", "operation 9 is not in progress")]
    [InlineData("a node of another rank", "node (0,0) is not in the plan of rank 1")]
    [InlineData("a node the tree has not", "node (5,3) is not in the plan of rank 1")]
    [InlineData("a chunk the shard has not", "chunk 1 of node (0,1) is not in a shard of 1 chunks")]
    [InlineData("too few numbers", "instead of")]
    [InlineData("no numbers", "holds 0 numbers instead of")]
    [InlineData("no header", "comes without its header")]
    [InlineData("a header with metric sums", "1 metric sums instead of 0")]
    [InlineData("other weights", "was computed from weights 000000000000002b, not from 000000000000002a")]
    public async Task A_node_that_does_not_belong_here_is_refused_by_name_and_changes_nothing(string what, string why)
    {
        var node = Node(0);
        switch (what)
        {
            case "a stale generation": node.Generation = 2; break;
            case "a foreign run": node.Run = 1; break;
            case "another term": node.Term = 2; break;
            case "another rank": node.Rank = 0; break;
            case "an operation that is over": node.Operation = 6; break;
            case "an operation that cannot have begun": node.Operation = 9; break;
            case "a node of another rank": node.Index = 0; break;
            case "a node the tree has not": (node.Level, node.Index) = (5, 3); break;
            case "a chunk the shard has not": (node.Chunk, node.Header) = (1, null); break;
            case "too few numbers": node.Data = ByteString.CopyFrom(node.Data.Span[..^4]); break;
            case "no numbers": node.Data = ByteString.Empty; break;
            case "no header": node.Header = null; break;
            case "a header with metric sums": node.Header.MetricSums.Add(1); break;
            default: node.WeightsHash = Weights + 1; break;
        }

        await SendRefusedAsync(node, StatusCode.FailedPrecondition, why);
        Assert.Contains(why, (await _group.Broken).Reason);
        await ExchangeAsync();
    }

    [Fact]
    public async Task A_node_that_comes_twice_is_refused()
    {
        using var call = await OpenedAsync();
        await call.RequestStream.WriteAsync(Node(0));
        await call.RequestStream.WriteAsync(Node(0));
        await RefusedAsync(call, StatusCode.FailedPrecondition, "chunk 0 of node (0,1) came twice");
    }

    [Fact]
    public async Task A_second_call_of_a_rank_is_refused_while_the_first_goes_on()
    {
        using var first = await OpenedAsync();
        using (var second = Open())
        {
            await second.RequestStream.WriteAsync(Head(0));
            await RefusedAsync(second, StatusCode.FailedPrecondition, "Rank 1 has a call to rank 0 already");
        }

        await ExchangeAsync(first);
    }

    [Fact]
    public async Task A_call_that_ends_early_counts_as_a_broken_link()
    {
        using var call = await OpenedAsync();
        await call.RequestStream.CompleteAsync();
        Assert.EndsWith(" broke: it ended the call", (await _group.Broken).Reason);
    }

    [Theory]
    [InlineData((ShardTable.MaxChunkElements + 1) * 4, StatusCode.InvalidArgument, "a chunk is a multiple of 4 and at most 245760")]
    [InlineData(4001, StatusCode.InvalidArgument, "a chunk is a multiple of 4 and at most 245760")]
    [InlineData((1 << 20) + 1, StatusCode.ResourceExhausted, "exceeds the maximum configured message size")]
    public async Task A_message_of_a_wrong_size_is_refused(int bytes, StatusCode status, string why)
    {
        var node = Node(0);
        node.Data = ByteString.CopyFrom(new byte[bytes]);
        await SendRefusedAsync(node, status, why);
        await ExchangeAsync();
    }

    [Fact]
    public async Task Bytes_that_are_no_message_end_their_call_and_nothing_else()
    {
        var raw = new Method<byte[], byte[]>(
            MethodType.DuplexStreaming, "disttrain.v1.Peer", "Exchange", Marshallers.Create(b => b, b => b), Marshallers.Create(b => b, b => b));
        var random = new Random(1);
        var right = Node(0).ToByteArray();
        for (var round = 0; round < 40; round++)
        {
            var bytes = new byte[random.Next(1, 300)];
            random.NextBytes(bytes);
            bytes = (round % 4) switch
            {
                0 => bytes,
                1 => right[..random.Next(1, right.Length)],
                2 => [.. right, .. bytes],
                _ => [.. bytes, .. right],
            };
            using var call = _channel.CreateCallInvoker().AsyncDuplexStreamingCall(raw, null, new CallOptions());
            await call.RequestStream.WriteAsync(round % 8 < 4 ? bytes : Head(0).ToByteArray());
            var refused = await Assert.ThrowsAsync<RpcException>(async () =>
            {
                if (round % 8 >= 4)
                {
                    Assert.True(await call.ResponseStream.MoveNext());
                    await call.RequestStream.WriteAsync(bytes);
                }

                while (await call.ResponseStream.MoveNext())
                {
                }
            });
            Assert.NotEqual(StatusCode.Unknown, refused.StatusCode);
        }

        await ExchangeAsync();
    }

    [Fact]
    public async Task A_caller_that_says_nothing_is_hung_up_on()
    {
        _directory.Patience = TimeSpan.FromMilliseconds(100);
        using var call = Open();
        using var late = new CancellationTokenSource(Patience);
        var refused = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(late.Token));
        Assert.Equal((StatusCode.DeadlineExceeded, "The caller did not say in time who it is."), (refused.StatusCode, refused.Status.Detail));
    }

    private AsyncDuplexStreamingCall<NodeChunk, ShardChunk> Open() => new Peer.PeerClient(_channel).Exchange();

    private async Task<AsyncDuplexStreamingCall<NodeChunk, ShardChunk>> OpenedAsync()
    {
        // The server forgets a call that was refused a moment after its caller has learned of it.
        for (var attempt = 0; ; attempt++)
        {
            var call = Open();
            await call.RequestStream.WriteAsync(Head(0));
            try
            {
                Assert.True(await call.ResponseStream.MoveNext());
                Assert.Equal(
                    new ShardChunk { Run = Tag.Run, Term = Tag.Term, Generation = Tag.Generation, Rank = 0 }, call.ResponseStream.Current);
                return call;
            }
            catch (RpcException e) when (attempt < 100 && e.Status.Detail.Contains("has a call", StringComparison.Ordinal))
            {
                call.Dispose();
                await Task.Yield();
            }
        }
    }

    private async Task SendRefusedAsync(NodeChunk node, StatusCode status, string why)
    {
        using var call = await OpenedAsync();
        try
        {
            await call.RequestStream.WriteAsync(node);
        }
        catch (RpcException)
        {
            // Refused before all of it was sent; the answer says why.
        }

        await RefusedAsync(call, status, why);
    }

    private static async Task RefusedAsync(AsyncDuplexStreamingCall<NodeChunk, ShardChunk> call, StatusCode status, string why)
    {
        var refused = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext());
        Assert.Contains(why, refused.Status.Detail);
        Assert.Equal(status, refused.StatusCode);
    }

    /// <summary>The whole of rank 1's part, in generated code, and what both sides end up with.</summary>
    private async Task ExchangeAsync(AsyncDuplexStreamingCall<NodeChunk, ShardChunk>? opened = null)
    {
        using var call = opened ?? await OpenedAsync();
        _operation.Offer(new NodeId(0, 0), _own, new Core.Reduction.NodeHeader(1, 2, []));
        await call.RequestStream.WriteAsync(Node(0));
        Assert.True(await call.ResponseStream.MoveNext());
        var shard = call.ResponseStream.Current;
        Assert.Equal((7UL, 0, 0), (shard.Operation, shard.Chunk, shard.Rank));
        Assert.Equal(new WireHeader { LossSum = 1.5, Weight = 5 }, shard.Header);
        var sums = MemoryMarshal.Cast<byte, float>(shard.Data.Span);
        Assert.Equal(_shards.Chunks(0)[0].Count, sums.Length);
        for (var i = 0; i < sums.Length; i++)
        {
            Assert.Equal(1.5f + i, sums[i]);
        }

        Assert.Equal(shard.TileSquares.Count, _shards.Chunks(0)[0].EndTile);
        Assert.True(double.IsFinite(shard.TileSquares.Sum()));
    }

    private static NodeChunk Head(ulong operation) =>
        new() { Run = Tag.Run, Term = Tag.Term, Generation = Tag.Generation, Operation = operation, Rank = 1 };

    private NodeChunk Node(int chunk)
    {
        var values = Enumerable.Range(0, _shards.Chunks(0)[chunk].Count).Select(i => (float)i).ToArray();
        var node = Head(7);
        (node.WeightsHash, node.Level, node.Index, node.Chunk) = (Weights, 0, 1, chunk);
        node.Header = new WireHeader { LossSum = 0.5, Weight = 3 };
        node.Data = ByteString.CopyFrom(MemoryMarshal.AsBytes(values.AsSpan()));
        return node;
    }
}
