using CsCheck;
using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Tests;
using DistTrain.Protocol.Exchange;
using DistTrain.Training.Native;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>
/// Reduce-scatter and all-gather without sockets: real-valued numbers, any plan, any order of delivery, three operations in a row of which neighbours
/// overlap, against a recursion over the blocks.
/// </summary>
public sealed class AllReduceTests
{
    private static readonly Gen<int[]> Sizes = Gen.Int[0, 5000].Array[1, 4];

    [Fact]
    public void Any_plan_and_any_order_of_delivery_give_the_bits_of_the_reference()
    {
        var waits = 0;
        Gen.Select(Gen.Int[1, 8], Sizes, Gen.Int[0, 1 << 20]).Always(
            (world, sizes, seed) => waits += Run(world, Layout(sizes), seed), samples: 60);
        Assert.InRange(waits, 100, int.MaxValue);
    }

    [Fact]
    public Task A_vector_of_many_chunks_is_reduced_to_the_same_bits() => RunAsync(3, Layout([200_001, 7]), seed: 5, mostBlocks: 3);

    /// <summary>Frozen slots, empty ones, slots of many chunks and chunks of many slots, and shards without anything.</summary>
    [Fact]
    public async Task Chunks_that_are_sent_as_their_slots_become_final_are_reduced_to_the_same_bits()
    {
        var layout = new ParameterLayout([
            ("a", [70_000], SlotKind.Parameter), ("b", [3], SlotKind.Parameter), ("c", [0], SlotKind.Parameter), ("d", [65_000], SlotKind.Frozen),
            .. Enumerable.Range(0, 600).Select(i => ($"e{i:000}", (IReadOnlyList<long>)[1], SlotKind.Parameter)),
            ("f", [130_000], SlotKind.Parameter), ("g", [50], SlotKind.Buffer),
        ]);
        var early = 0;
        foreach (var world in new[] { 1, 2, 3, 5 })
        {
            for (var seed = 0; seed < 3; seed++)
            {
                using var exchange = Exchange(world, layout, seed, mostBlocks: 7);
                await exchange.RunAsync();
                Assert.Equal(world == 1, exchange.EarlyMessages == 0);
                early += exchange.EarlyMessages;
            }
        }

        Assert.InRange(early, 50, int.MaxValue);
    }

    [Fact]
    public void A_refused_message_changes_nothing()
    {
        // Two ranks, a block each; rank 1's node is offered in every wrong way before it is offered in the right one.
        var layout = Layout([10_000]);
        var spec = Plans.Spec(2, [new BlockRange(0, 1), new BlockRange(1, 2)]);
        using var own = new NativeVector(layout.Count);
        using var reduced = new NativeVector(layout.Count);
        own.Span(0, 10_000).Fill(1);
        var shards = new ShardTable(layout.Tiles, 2);
        var operation = new AllReduce(
            7, 42, 0, spec, shards, layout.Tiles, 1, new ReducedVector(reduced, new double[layout.Tiles.Count]), new NoLinks());
        operation.Offer(new NodeId(0, 0), own, new NodeHeader(1, 1, [1]));
        var count = shards.Chunks(0)[0].Count;
        var header = new NodeHeader(0.5, 3, [0.25]);
        var theirs = new NodeId(0, 1);

        Refused("was computed from weights", () => operation.TakeNode(1, theirs, 43, 0, Payload(count), header));
        Refused("not in the plan of rank 1", () => operation.TakeNode(1, new NodeId(0, 0), 42, 0, Payload(count), header));
        Refused("not in the plan of rank 1", () => operation.TakeNode(1, new NodeId(1, 0), 42, 0, Payload(count), header));
        Refused("not in the plan of rank 1", () => operation.TakeNode(1, new NodeId(-1, 9), 42, 0, Payload(count), header));
        Refused("not in the plan of rank 0", () => operation.TakeNode(0, theirs, 42, 0, Payload(count), header));
        Refused("not in a shard of 1 chunks", () => operation.TakeNode(1, theirs, 42, 1, Payload(count), null));
        Refused("not in a shard of 1 chunks", () => operation.TakeNode(1, theirs, 42, -1, Payload(count), null));
        Refused("instead of", () => operation.TakeNode(1, theirs, 42, 0, Payload(count - 1), header));
        Refused("without its header", () => operation.TakeNode(1, theirs, 42, 0, Payload(count), null));
        Refused("2 metric sums instead of 1", () => operation.TakeNode(1, theirs, 42, 0, Payload(count), new NodeHeader(0, 1, [1, 2])));
        Refused("weight -1", () => operation.TakeNode(1, theirs, 42, 0, Payload(count), new NodeHeader(0, -1, [1])));
        Refused("weight", () => operation.TakeNode(1, theirs, 42, 0, Payload(count), new NodeHeader(0, long.MaxValue, [1])));
        Assert.Equal(0, reduced.Span(0, 1)[0]);

        Assert.Null(operation.TakeNode(1, theirs, 42, 0, Payload(count), header));
        Refused("came twice", () => operation.TakeNode(1, theirs, 42, 0, Payload(count), header));
        Assert.All(reduced.Span(0, count).ToArray(), value => Assert.Equal(3, value));

        var other = shards.Chunks(1)[0];
        var norms = new double[other.EndTile - other.FirstTile];
        var root = new NodeHeader(1.5, 4, [1.25]);
        Refused("not in rank 0's shard", () => operation.TakeShardChunk(0, 0, Payload(count), [1], root));
        Refused("not in rank 1's shard", () => operation.TakeShardChunk(1, 1, Payload(other.Count), norms, null));
        Refused("instead of", () => operation.TakeShardChunk(1, 0, Payload(other.Count + 1), norms, root));
        Refused("instead of", () => operation.TakeShardChunk(1, 0, Payload(other.Count), [.. norms, 1], root));
        Refused("without its header", () => operation.TakeShardChunk(1, 0, Payload(other.Count), norms, null));
        Refused("0 metric sums instead of 1", () => operation.TakeShardChunk(1, 0, Payload(other.Count), norms, root with { MetricSums = [] }));
        Assert.Equal(0, reduced.Span(other.FirstElement, 1)[0]);
        Assert.False(operation.Whole.IsCompleted);

        // What would be refused has no place; what is received in its place is taken as it lies there.
        var place = ChunkPayload.Movable();
        Assert.False(operation.TryPlace(1, 0, other.Count + 1, norms, root, place));
        Assert.False(operation.TryPlace(1, 0, other.Count, norms, null, place));
        Assert.True(operation.TryPlace(1, 0, other.Count, norms, root, place));
        place.Values.Fill(2);
        Assert.False(operation.Whole.IsCompleted);
        Assert.Null(operation.TakeShardChunk(1, 0, place, norms, root));
        Assert.All(reduced.Span(other.FirstElement, other.Count).ToArray(), value => Assert.Equal(2, value));
        Assert.False(operation.TryPlace(1, 0, other.Count, norms, root, place));
        Refused("came twice", () => operation.TakeShardChunk(1, 0, Payload(other.Count), norms, root));
        Assert.True(operation.Whole.IsCompletedSuccessfully);

        static void Refused(string why, Func<string?> take) => Assert.Contains(why, take());

        static ChunkPayload Payload(int count)
        {
            var payload = ChunkPayload.Rent(count);
            payload.Values.Fill(2);
            return payload;
        }
    }

    [Fact]
    public unsafe void An_operation_allocates_next_to_nothing_for_a_chunk()
    {
        // 25 million parameters on two ranks are 204 chunks a rank, so 64 kB a step are 320 bytes for each chunk of the own shard and one of the other's.
        const int Chunks = 64;
        var layout = Layout([2 * Chunks * ShardTable.MaxChunkElements]);
        var (spec, shards) = (Plans.Spec(2, [new BlockRange(0, 1), new BlockRange(1, 2)]), new ShardTable(layout.Tiles, 2));
        Assert.Equal(Chunks, shards.Chunks(0).Count);
        using var own = new NativeVector(layout.Count);
        using var sums = new NativeVector(layout.Count);
        var reduced = new ReducedVector(sums, new double[layout.Tiles.Count]);
        var theirs = shards.Chunks(0).Select(c => ChunkPayload.Movable(isPassing: true).Move(own.Data + c.FirstElement, c.Count)).ToList();
        var others = shards.Chunks(1).Select(c => (Payload: ChunkPayload.Movable(isPassing: true).Move(own.Data + c.FirstElement, c.Count), Norms: new double[c.EndTile - c.FirstTile])).ToList();
        var header = new NodeHeader(1, 1, []);
        Step();
        Step();
        var before = GC.GetAllocatedBytesForCurrentThread();
        Step();
        var perChunk = (GC.GetAllocatedBytesForCurrentThread() - before) / Chunks;
        Assert.InRange(perChunk, 0, 100);

        void Step()
        {
            var operation = new AllReduce(7, 42, 0, spec, shards, layout.Tiles, 0, reduced, new NoLinks());
            operation.Offer(new NodeId(0, 0), own, header);
            for (var index = 0; index < Chunks; index++)
            {
                Assert.Null(operation.TakeNode(1, new NodeId(0, 1), 42, index, theirs[index], index == 0 ? header : null));
                Assert.Null(operation.TakeShardChunk(1, index, others[index].Payload, others[index].Norms, index == 0 ? header with { LossSum = 2, Weight = 2 } : null));
            }

            Assert.True(operation.Whole.IsCompletedSuccessfully);
        }
    }

    [Fact]
    public async Task Ranks_that_disagree_in_the_loss_are_found_out()
    {
        var layout = Layout([]);
        var spec = Plans.Spec(2, [new BlockRange(0, 2), new BlockRange(2, 2)]);
        using var nothing = new NativeVector(0);
        var operation = new AllReduce(7, 42, 0, spec, new ShardTable(null, 2), null, 0, new ReducedVector(nothing, []), new NoLinks());
        operation.Offer(new NodeId(1, 0), nothing, new NodeHeader(1, 1, []));
        Assert.Null(operation.TakeShardChunk(1, 0, ChunkPayload.Empty, [], new NodeHeader(2, 1, [])));
        var found = await Assert.ThrowsAsync<InvalidDataException>(() => operation.Whole);
        Assert.Equal("Ranks 0 and 1 disagree in the loss or weight of operation 7: memory or network of one of them is faulty.", found.Message);
    }

    private static int Run(int world, ParameterLayout layout, int seed) => RunAsync(world, layout, seed).GetAwaiter().GetResult();

    private static async Task<int> RunAsync(int world, ParameterLayout layout, int seed, int mostBlocks = 40)
    {
        using var exchange = Exchange(world, layout, seed, mostBlocks);
        await exchange.RunAsync();
        return exchange.Waits;
    }

    private static SimulatedExchange Exchange(int world, ParameterLayout layout, int seed, int mostBlocks)
    {
        var random = new Random(seed);
        var operations = Enumerable.Range(0, 3).Select(_ =>
        {
            var blocks = random.Next(1, mostBlocks + 1);
            var cuts = Enumerable.Range(0, world - 1).Select(_ => random.Next(blocks + 1)).Order().Prepend(0).Append(blocks).ToList();
            return new SimulatedOperation(blocks, [.. cuts.Zip(cuts.Skip(1), (first, end) => new BlockRange(first, end))], random.Next(3));
        }).ToList();
        var references = operations.Select((operation, index) => Reference(operation, index, layout)).ToList();
        return new SimulatedExchange(layout, operations, seed)
        {
            OnWhole = (operation, _, reduced, header) =>
            {
                var (values, squares, root) = references[operation];
                Assert.True(values.AsSpan().SequenceEqual(reduced.Values.Span(0, values.Length)));
                Assert.Equal(squares.Select(BitConverter.DoubleToInt64Bits), reduced.TileSquares.Select(BitConverter.DoubleToInt64Bits));
                Assert.True(root.SameBits(header));
            },
        };
    }

    /// <summary>The definition, written down: a node is its left child plus its right child.</summary>
    private static (float[] Values, double[] TileSquares, NodeHeader Header) Reference(SimulatedOperation operation, int index, ParameterLayout layout)
    {
        var level = 0;
        while (1 << level < operation.Blocks)
        {
            level++;
        }

        var (values, header) = Node(level, 0);
        return (values, [.. Enumerable.Range(0, layout.Tiles.Count).Select(tile =>
            Squares(values.AsSpan((int)layout.Tiles.Start(tile), layout.Tiles.Length(tile))))], header);

        (float[] Values, NodeHeader Header) Node(int height, int place)
        {
            if (height == 0)
            {
                return ([.. Enumerable.Range(0, (int)layout.Count).Select(i => SimulatedExchange.Value(index, place, i))],
                    SimulatedExchange.Header(index, place, operation.Metrics));
            }

            var left = Node(height - 1, 2 * place);
            if ((2 * place + 1) << (height - 1) >= operation.Blocks)
            {
                return left;
            }

            var right = Node(height - 1, 2 * place + 1);
            return ([.. left.Values.Zip(right.Values, (a, b) => a + b)], NodeHeader.Add(left.Header, right.Header));
        }

        static double Squares(ReadOnlySpan<float> tile)
        {
            var lanes = new double[8];
            for (var i = 0; i < tile.Length; i++)
            {
                lanes[i % 8] += (double)tile[i] * tile[i];
            }

            return lanes.Aggregate(0.0, (sum, lane) => sum + lane);
        }
    }

    private static ParameterLayout Layout(int[] sizes) =>
        new(sizes.Select((size, i) => ($"p{i}", (IReadOnlyList<long>)[size], SlotKind.Parameter)));

    private sealed class NoLinks : IPeerLinks
    {
        public void SendNode(
            ulong operation, ulong weightsHash, NodeId node, NativeVector values, NodeHeader? header, ShardTable shards, int owner, Range chunks)
        {
        }

        public void SendShardChunk(
            ulong operation, int index, Chunk chunk, NativeVector reduced, ReadOnlyMemory<double> tileSquares, NodeHeader? header)
        {
        }
    }
}
