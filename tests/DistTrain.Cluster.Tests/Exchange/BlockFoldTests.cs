using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Tuning;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests.Exchange;

public sealed class BlockFoldTests
{
    [Fact]
    public void Every_range_hands_out_its_cover_in_order_each_node_with_its_last_block()
    {
        ForEveryRange(20, (spec, first, end) =>
        {
            using var pool = Pool();
            var fold = new BlockFold(spec, 1, pool);
            var handed = new List<NodeId>();
            for (var block = first; block < end; block++)
            {
                var node = Compute(fold, block);
                if (!node.IsCover)
                {
                    continue;
                }

                handed.Add(node.Node);
                Assert.Equal(block + 1, spec.Tree.EndBlock(node.Node));
                Assert.Equal((Sum(spec, node.Node), (double)Sum(spec, node.Node)), (node.Values.Span(0, 1)[0], node.Header.LossSum));
            }

            Assert.Equal(spec.Covers[1], handed);
            Assert.Equal(handed, fold.Held);
            Assert.Null(fold.Finish(() => throw new InvalidOperationException("A canonical fold has no zero.")));
        });
    }

    /// <summary>The last block of every node, element by element: what is folded of it is the node's, what is not is not, and of what it is added to only the last is written.</summary>
    [Fact]
    public void A_node_can_be_completed_in_parts_and_what_is_added_is_only_read()
    {
        var between = 0;
        ForEveryRange(12, (spec, first, end) =>
        {
            using var pool = Pool(2);
            var fold = new BlockFold(spec, 1, pool);
            for (var block = first; block < end; block++)
            {
                var node = Begin(fold, block);
                var held = fold.Held.ToList();
                Assert.Equal(block + 1, spec.Tree.EndBlock(node.Node));
                node.Fold(1, 1);
                Assert.Equal(Sum(spec, node.Node), node.Values.Span(1, 1)[0]);
                node.FoldRest();
                Assert.Equal(node.Lefts.Count == 0, node.Values.Span(0, 1)[0] == Sum(spec, node.Node));
                node.Fold(0, 1);
                Assert.Equal((Sum(spec, node.Node), (double)Sum(spec, node.Node)), (node.Values.Span(0, 1)[0], node.Header.LossSum));
                foreach (var (name, buffer) in node.Lefts.SkipLast(1).Prepend((node.Name, node.Block)).Take(node.Lefts.Count))
                {
                    between++;
                    Assert.Equal([Sum(spec, name), Sum(spec, name)], buffer.ToHost().Span(0, 2).ToArray());
                }

                Assert.Equal(held, fold.Held);
                fold.Complete(node);
            }

            Assert.Equal(spec.Covers[1], fold.Held);
        });
        Assert.True(between > 100);
    }

    /// <summary>What a block is added to in place is what it would have been added to, whole nodes in one piece or in parts.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_block_can_be_accumulated_on_the_sum_it_is_added_to_next(bool inParts)
    {
        var onTop = 0;
        ForEveryRange(12, (spec, first, end) =>
        {
            using var pool = Pool();
            var fold = new BlockFold(spec, 1, pool);
            for (var block = first; block < end; block++)
            {
                var node = fold.Begin(block, onTop: true);
                Assert.DoesNotContain(fold.Held, held => held == node.Name || (node.IsOnTop && held == spec.Tree.Leaf(block).Sibling));
                var was = node.IsOnTop ? node.Block.ToHost().Span(0, 1)[0] : 0;
                (node.Block.ToHost().Span(0, 1)[0], node.Block.Header) = (was + block, new NodeHeader(was + block, 1, []));
                if (inParts)
                {
                    node.FoldRest();
                    node.Fold(0, 1);
                }
                else
                {
                    node.FoldAll();
                }

                fold.Complete(node);
                onTop += node.IsOnTop ? 1 : 0;
            }

            AssertHolds(spec, pool, fold, spec.Covers[1]);
        });

        Assert.True(onTop > 100);
    }

    /// <summary>Where the sum of all blocks is put elsewhere, what it is made of stays: another generation may go on from that.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_root_can_be_written_to_its_place_and_its_parts_are_held(bool onTop)
    {
        for (var blocks = 1; blocks <= 40; blocks++)
        {
            using var pool = new CountingPool(Pool());
            using var place = new NativeVector(1);
            place.Span(0, 1)[0] = float.NaN;
            var spec = Plans.Spec(blocks, [new BlockRange(0, blocks)]);
            var fold = new BlockFold(spec, 0, pool, rootPlace: place);
            for (var block = 0; block < blocks; block++)
            {
                var node = Compute(fold, block, onTop);
                Assert.Equal(block == blocks - 1, node.IsCover);
                Assert.Equal(node.IsCover && node.Lefts.Count > 0, node.Values == place);
                if (node.IsCover)
                {
                    Assert.Equal((Sum(spec, node.Node), (double)Sum(spec, node.Node)), (node.Values.Span(0, 1)[0], node.Header.LossSum));
                }
            }

            Assert.InRange(pool.Most, 1, MemoryModel.MostNodes(spec.Tree, new BlockRange(0, blocks), onTop));
            var salvage = Salvage.Of(spec.Tree, [fold.Held]);
            Assert.Empty(salvage.Missing);
            AssertHolds(ReductionSpec.Canonical(blocks, [new WorkShare(salvage.Kept[0], [])]), pool, fold, [.. fold.Held]);
        }
    }

    [Fact]
    public void A_block_that_is_dropped_is_not_held_and_its_memory_is_free_and_so_is_the_sum_that_a_part_of_it_was_added_to()
    {
        var spec = Plans.Spec(8, [new BlockRange(0, 8)]);
        foreach (var isBegun in new[] { false, true })
        {
            using var pool = new CountingPool(Pool());
            var fold = new BlockFold(spec, 0, pool);
            for (var block = 0; block < 7; block++)
            {
                Compute(fold, block);
            }

            Assert.Equal([new NodeId(2, 0), new NodeId(1, 2), new NodeId(0, 6)], fold.Held);
            var node = Begin(fold, 7);
            if (isBegun)
            {
                node.Fold(0, 1);
            }

            fold.Drop(node);
            NodeId[] whole = isBegun ? [new NodeId(1, 2), new NodeId(0, 6)] : [new NodeId(2, 0), new NodeId(1, 2), new NodeId(0, 6)];
            Assert.Equal(whole.Length, pool.Out);
            AssertHolds(ReductionSpec.Canonical(8, [new WorkShare(whole, [])]), pool, fold, whole);
        }
    }

    [Fact]
    public void A_sum_that_a_dropped_block_was_accumulated_on_is_not_held()
    {
        using var pool = new CountingPool(Pool());
        var fold = new BlockFold(Plans.Spec(4, [new BlockRange(0, 4)]), 0, pool);
        Compute(fold, 0, onTop: true);
        fold.Drop(Begin(fold, 1, onTop: true));
        Assert.Empty(fold.Held);
        Assert.Equal(0, pool.Out);
    }

    [Fact]
    public void Blocks_that_do_not_ascend_are_refused()
    {
        using var pool = Pool();
        var fold = new BlockFold(Plans.Spec(4, [new BlockRange(0, 4)]), 0, pool);
        Compute(fold, 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => fold.Begin(0, onTop: false));
    }

    [Fact]
    public void From_operation_to_operation_no_node_is_allocated()
    {
        using var pool = Pool();
        var rented = new HashSet<NodeBuffer>();
        var spec = Plans.Spec(40, [new BlockRange(0, 3), new BlockRange(3, 40)]);
        var afterFirst = 0;
        for (var operation = 0; operation < 5; operation++)
        {
            var fold = new BlockFold(spec, 1, pool);
            for (var block = 3; block < 40; block++)
            {
                rented.Add(Compute(fold, block).Block);
            }

            fold.Release();
            afterFirst = operation == 0 ? rented.Count : afterFirst;
        }

        Assert.Equal(afterFirst, rented.Count);
        Assert.InRange(rented.Count, 1, 12);
    }

    [Fact]
    public void Per_worker_the_sum_comes_at_the_end_and_no_block_is_a_zero()
    {
        using var pool = Pool();
        var fold = new BlockFold(new NodeId(0, 1), pool);
        Assert.False(Compute(fold, 3).IsCover);
        Assert.False(Compute(fold, 4).IsCover);
        var (node, sum) = fold.Finish(() => Node(pool, 0)) ?? default;
        Assert.Equal((new NodeId(0, 1), 7f, 7.0), (node, sum.ToHost().Span(0, 1)[0], sum.Header.LossSum));

        var idle = new BlockFold(new NodeId(0, 2), pool);
        Assert.Equal(0, (idle.Finish(() => Node(pool, 0)) ?? default).Buffer.ToHost().Span(0, 1)[0]);
    }

    private static void ForEveryRange(int most, Action<ReductionSpec, int, int> check)
    {
        for (var blocks = 1; blocks <= most; blocks++)
        {
            for (var first = 0; first < blocks; first++)
            {
                for (var end = first + 1; end <= blocks; end++)
                {
                    check(Plans.Spec(blocks, [new BlockRange(0, first), new BlockRange(first, end), new BlockRange(end, blocks)]), first, end);
                }
            }
        }
    }

    /// <summary>Every block's sum is its number, and so is its loss.</summary>
    private static CompletingNode Compute(BlockFold fold, int block, bool onTop = false)
    {
        var node = Begin(fold, block, onTop);
        node.FoldAll();
        fold.Complete(node);
        return node;
    }

    private static CompletingNode Begin(BlockFold fold, int block, bool onTop = false)
    {
        var node = fold.Begin(block, onTop);
        var values = node.Block.ToHost().Span(0, (int)node.Block.ToHost().Count);
        var sum = block + (node.IsOnTop ? values[0] : 0);
        values.Fill(sum);
        node.Block.Header = new NodeHeader(sum, 1, []);
        return node;
    }

    private static float Sum(ReductionSpec spec, NodeId node) =>
        Enumerable.Range(ReductionTree.FirstBlock(node), spec.Tree.EndBlock(node) - ReductionTree.FirstBlock(node)).Sum();

    /// <summary>Another generation takes nodes over, each of which is the sum of all its blocks.</summary>
    private static void AssertHolds(ReductionSpec spec, NodePool pool, BlockFold fold, IReadOnlyList<NodeId> nodes)
    {
        var again = new BlockFold(spec, spec.Covers.Count > 1 ? 1 : 0, pool, fold);
        Assert.Equal(nodes.ToHashSet(), again.Kept.Select(k => k.Node).ToHashSet());
        Assert.All(again.Kept, k => Assert.Equal((Sum(spec, k.Node), (double)Sum(spec, k.Node)), (k.Buffer.ToHost().Span(0, 1)[0], k.Buffer.Header.LossSum)));
    }

    private static HostNodePool Pool(int elements = 1) => new(new ParameterLayout([("one", [elements], SlotKind.Parameter)]));

    private static NodeBuffer Node(NodePool pool, float value)
    {
        var node = pool.Rent();
        node.ToHost().Span(0, (int)node.ToHost().Count).Fill(value);
        node.Header = new NodeHeader(value, 1, []);
        return node;
    }

    private sealed class CountingPool(NodePool inner) : NodePool
    {
        public int Out { get; private set; }

        public int Most { get; private set; }

        public override NodeBuffer Rent()
        {
            Most = Math.Max(Most, ++Out);
            return inner.Rent();
        }

        public override void Return(NodeBuffer node)
        {
            Out--;
            inner.Return(node);
        }

        public override void Dispose() => inner.Dispose();
    }
}
