using System.Runtime.InteropServices;
using System.Threading.Channels;
using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using DistTrain.Training.Native;
using DistTrain.Worker.Exchange;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using WireHeader = DistTrain.Protocol.V1.NodeHeader;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>The other way round: our outgoing side speaks to a server of generated code alone, which is rank 1.</summary>
public sealed class PeerGroupTests : IAsyncLifetime
{
    private static readonly RunTag Tag = new(0xABCD, 1, 3);
    private readonly ParameterLayout _layout = new([("p", [10_000], SlotKind.Parameter)]);
    private readonly GeneratedPeer _peer = new();
    private NativeVector _own = null!;
    private NativeVector _reduced = null!;
    private WebApplication _server = null!;
    private PeerGroup _group = null!;
    private AllReduce _operation = null!;
    private Chunk _theirs;

    public async ValueTask InitializeAsync()
    {
        (_own, _reduced) = (new NativeVector(_layout.Count), new NativeVector(_layout.Count));
        _own.Span(0, 10_000).Fill(1.5f);
        var shards = new ShardTable(_layout.Tiles, 2);
        _theirs = shards.Chunks(1)[0];
        _server = GrpcListener.Create("127.0.0.1:0", services => services.AddSingleton(_peer), log: new LogBook());
        _server.MapGrpcService<GeneratedPeer>();
        var bound = await GrpcListener.StartAsync(_server, "127.0.0.1:0", CancellationToken.None);
        var address = new Uri($"http://{bound}");
        _group = new PeerGroup(Tag, 0, [address, address], TimeSpan.FromSeconds(30));
        var spec = Plans.Spec(2, [new BlockRange(0, 1), new BlockRange(1, 2)]);
        _operation = new AllReduce(
            7, 42, 0, spec, shards, _layout.Tiles, 0, new ReducedVector(_reduced, new double[_layout.Tiles.Count]), _group);
        _group.Operations.Begin(_operation);
    }

    public async ValueTask DisposeAsync()
    {
        _peer.Answers.Writer.TryComplete();
        await _group.DisposeAsync();
        await _server.DisposeAsync();
        _own.Dispose();
        _reduced.Dispose();
    }

    [Fact]
    public async Task Our_client_exchanges_with_a_generated_server()
    {
        await LinkAsync();
        _operation.Offer(new NodeId(0, 0), _own, new Core.Reduction.NodeHeader(1, 2, []));
        var node = await _peer.Requests.Reader.ReadAsync(TestContext.Current.CancellationToken);
        Assert.Equal((7UL, 42UL, 0, 0, 0), (node.Operation, node.WeightsHash, node.Level, node.Index, node.Chunk));
        Assert.Equal(new WireHeader { LossSum = 1, Weight = 2 }, node.Header);
        Assert.Equal(Enumerable.Repeat(1.5f, _theirs.Count), MemoryMarshal.Cast<byte, float>(node.Data.Span).ToArray());

        _peer.Answers.Writer.TryWrite(Shard());
        Assert.Null(_operation.TakeNode(1, new NodeId(0, 1), 42, 0, Payload(10_000 - _theirs.Count), new Core.Reduction.NodeHeader(0.5, 3, [])));
        var header = await _operation.Whole;
        Assert.Equal((1.5, 5), (header.LossSum, header.Weight));
        Assert.Equal(9, _reduced.Span(_theirs.FirstElement, 1)[0]);
    }

    [Theory]
    [InlineData("a stale generation", "it belongs to generation 2, this is generation 3")]
    [InlineData("another rank", "it says rank 0 on the call to rank 1")]
    [InlineData("another operation", "operation 5 is not in progress")]
    [InlineData("another chunk", "chunk 1 is not in rank 1's shard")]
    [InlineData("too few numbers", "instead of")]
    [InlineData("no norms", "and 0 norms instead of")]
    [InlineData("no header", "comes without its header")]
    [InlineData("half a number", "The message is refused")]
    public async Task A_shard_that_does_not_belong_here_breaks_the_link_by_name_and_changes_nothing(string what, string why)
    {
        await LinkAsync();
        var shard = Shard();
        switch (what)
        {
            case "a stale generation": shard.Generation = 2; break;
            case "another rank": shard.Rank = 0; break;
            case "another operation": shard.Operation = 5; break;
            case "another chunk": shard.Chunk = 1; break;
            case "too few numbers": shard.Data = ByteString.CopyFrom(shard.Data.Span[..^4]); break;
            case "no norms": shard.TileSquares.Clear(); break;
            case "no header": shard.Header = null; break;
            default: shard.Data = ByteString.CopyFrom(shard.Data.Span[..^2]); break;
        }

        _peer.Answers.Writer.TryWrite(shard);
        var (peer, reason) = await _group.Broken.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.Equal(1, peer);
        Assert.StartsWith("the link to http://127.0.0.1:", reason);
        Assert.Contains(why, reason);
        Assert.Equal(0, _reduced.Span(_theirs.FirstElement, 1)[0]);
    }

    [Fact]
    public async Task An_owner_that_ends_the_call_breaks_the_link()
    {
        await LinkAsync();
        _peer.Answers.Writer.TryComplete();
        Assert.Contains("it ended the call", (await _group.Broken.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken)).Reason);
    }

    [Fact]
    public async Task A_peer_that_is_not_there_is_an_error_of_linking()
    {
        await _server.StopAsync(TestContext.Current.CancellationToken);
        Assert.False(await _group.LinkAsync(TestContext.Current.CancellationToken));
        Assert.Contains(" is not reached: see that --advertise names an address its peers can reach (", (await _group.Broken).Reason);
    }

    private async Task LinkAsync()
    {
        _peer.Answers.Writer.TryWrite(new ShardChunk { Run = Tag.Run, Term = Tag.Term, Generation = Tag.Generation, Rank = 1 });
        Assert.True(await _group.LinkAsync(TestContext.Current.CancellationToken));
        var hello = await _peer.Requests.Reader.ReadAsync(TestContext.Current.CancellationToken);
        Assert.Equal(new NodeChunk { Run = Tag.Run, Term = Tag.Term, Generation = Tag.Generation, Rank = 0 }, hello);
    }

    private ShardChunk Shard()
    {
        var values = new float[_theirs.Count];
        values.AsSpan().Fill(9);
        return new ShardChunk
        {
            Run = Tag.Run,
            Term = Tag.Term,
            Generation = Tag.Generation,
            Operation = 7,
            Rank = 1,
            Header = new WireHeader { LossSum = 1.5, Weight = 5 },
            TileSquares = { new double[_theirs.EndTile - _theirs.FirstTile] },
            Data = ByteString.CopyFrom(MemoryMarshal.AsBytes(values.AsSpan())),
        };
    }

    private static Protocol.Exchange.ChunkPayload Payload(int count)
    {
        var payload = Protocol.Exchange.ChunkPayload.Rent(count);
        payload.Values.Clear();
        return payload;
    }

    /// <summary>Passes on what comes, and sends what it is told to.</summary>
    private sealed class GeneratedPeer : Peer.PeerBase
    {
        public Channel<NodeChunk> Requests { get; } = Channel.CreateUnbounded<NodeChunk>();

        public Channel<ShardChunk> Answers { get; } = Channel.CreateUnbounded<ShardChunk>();

        public override async Task Exchange(
            IAsyncStreamReader<NodeChunk> requestStream, IServerStreamWriter<ShardChunk> responseStream, ServerCallContext context)
        {
            var receiving = ReceiveAsync();
            await foreach (var answer in Answers.Reader.ReadAllAsync(context.CancellationToken))
            {
                await responseStream.WriteAsync(answer, context.CancellationToken);
            }

            async Task ReceiveAsync()
            {
                while (await requestStream.MoveNext(context.CancellationToken))
                {
                    await Requests.Writer.WriteAsync(requestStream.Current);
                }
            }
        }
    }
}
