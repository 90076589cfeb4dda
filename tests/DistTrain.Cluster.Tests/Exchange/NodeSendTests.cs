using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>In which order chunks go while the backward pass goes on: every link has something to carry, from the first moment on.</summary>
public sealed class NodeSendTests
{
    private const int World = 4;

    // One weight lies in all shards, but for the ends of the first and the last.
    private static readonly ParameterLayout Layout = new([
        ("a", [100_000], SlotKind.Parameter), ("b", [1_400_000], SlotKind.Parameter), ("c", [100_000], SlotKind.Parameter),
    ]);

    [Fact]
    public void A_gradient_that_lies_in_many_shards_goes_to_their_owners_in_turns_and_no_two_ranks_begin_with_the_same()
    {
        var firsts = new List<int>();
        for (var rank = 0; rank < World; rank++)
        {
            var sent = Send(rank, send => send.TakeFinal(1));
            var others = Enumerable.Range(1, World - 1).Select(i => (rank + i) % World).ToList();
            Assert.Equal(others, sent.Take(World - 1).Select(s => s.Owner));
            firsts.Add(sent[0].Owner);

            // Nobody is two chunks ahead of another to whom there is something left to send.
            for (var at = 1; at <= sent.Count; at++)
            {
                var counts = others.Select(o => (Owner: o, Sent: sent.Take(at).Count(s => s.Owner == o), All: sent.Count(s => s.Owner == o))).ToList();
                Assert.All(counts.Where(c => c.Sent < c.All), c => Assert.True(counts.Max(o => o.Sent) <= c.Sent + 1, $"rank {rank} after {at}: {string.Join(' ', counts)}"));
            }

            Assert.All(others, o => Assert.Equal(sent.Where(s => s.Owner == o).Select(s => s.Index).Order(), sent.Where(s => s.Owner == o).Select(s => s.Index)));
            Assert.DoesNotContain(sent, s => s.Index == 0);
        }

        Assert.Equal(World, firsts.Distinct().Count());
    }

    [Fact]
    public void Everything_is_sent_once_and_a_sender_is_used_again()
    {
        var shards = new ShardTable(Layout.Tiles, World);
        var all = Enumerable.Range(0, World).Where(o => o != 1).SelectMany(o => shards.Chunks(o).Index().Select(c => (o, c.Index))).Order();
        Assert.Equal(all, Send(1, send => send.Finish()).Order());
        Assert.Equal(all, Send(1, send =>
        {
            send.TakeFinal(2);
            send.TakeFinal(0);
            send.TakeFinal(1);
            send.Finish();
        }).Order());
    }

    /// <summary>What a rank sends to others of its node, in order. The sender has sent another one before.</summary>
    private static List<(int Owner, int Index)> Send(int rank, Action<NodeSend> act)
    {
        using var pool = new HostNodePool(Layout);
        using var sums = new NativeVector(Layout.Count);
        var shards = new ShardTable(Layout.Tiles, World);
        var spec = Plans.Spec(World, [.. Enumerable.Range(0, World).Select(r => new BlockRange(r, r + 1))]);
        var send = new NodeSend(shards, Layout);
        var links = new Links();
        foreach (var step in new Action<NodeSend>[] { e => e.TakeFinal(0), act })
        {
            var node = pool.Rent();
            node.SetZero(0);
            links.Sent.Clear();
            send.Begin(
                new AllReduce(1, 42, rank, spec, shards, Layout.Tiles, 0, new ReducedVector(sums, new double[Layout.Tiles.Count]), links),
                new CompletingNode(new NodeId(0, rank), node, [], new NodeId(0, rank)));
            step(send);
        }

        return links.Sent;
    }

    private sealed class Links : IPeerLinks
    {
        public List<(int Owner, int Index)> Sent { get; } = [];

        public void SendNode(
            ulong operation, ulong weightsHash, NodeId node, NativeVector values, NodeHeader? header, ShardTable shards, int owner, Range chunks) =>
            Sent.AddRange(Enumerable.Range(chunks.Start.Value, chunks.End.Value - chunks.Start.Value).Select(index => (owner, index)));

        public void SendShardChunk(
            ulong operation, int index, Chunk chunk, NativeVector reduced, ReadOnlyMemory<double> tileSquares, NodeHeader? header)
        {
        }
    }
}
