using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests.Exchange;

public sealed class BlockFoldTests
{
    [Fact]
    public void Every_range_hands_out_its_cover_in_order_each_node_with_its_last_block()
    {
        for (var blocks = 1; blocks <= 20; blocks++)
        {
            for (var first = 0; first < blocks; first++)
            {
                for (var end = first; end <= blocks; end++)
                {
                    using var pool = Pool();
                    var spec = Plans.Spec(blocks, [new BlockRange(0, first), new BlockRange(first, end), new BlockRange(end, blocks)]);
                    var fold = new BlockFold(spec, 1, pool);
                    var handed = new List<NodeId>();
                    for (var block = first; block < end; block++)
                    {
                        if (fold.Add(fold.Leaf(block), Node(pool, block)) is not var (node, buffer))
                        {
                            continue;
                        }

                        handed.Add(node);
                        Assert.Equal(block + 1, spec.Tree.EndBlock(node));
                        Assert.Equal(Enumerable.Range(ReductionTree.FirstBlock(node), spec.Tree.EndBlock(node) - ReductionTree.FirstBlock(node)).Sum(),
                            buffer.ToHost().Span(0, 1)[0]);
                    }

                    Assert.Equal(spec.Covers[1], handed);
                    Assert.Null(fold.Finish(() => throw new InvalidOperationException("A canonical fold has no zero.")));
                }
            }
        }
    }

    /// <summary>The last block of every cover node, element by element: what is folded of it is the node's, what is not is not.</summary>
    [Fact]
    public void A_cover_node_can_be_completed_in_parts()
    {
        for (var blocks = 1; blocks <= 12; blocks++)
        {
            for (var first = 0; first < blocks; first++)
            {
                for (var end = first + 1; end <= blocks; end++)
                {
                    using var pool = Pool(2);
                    var spec = Plans.Spec(blocks, [new BlockRange(0, first), new BlockRange(first, end), new BlockRange(end, blocks)]);
                    var fold = new BlockFold(spec, 1, pool);
                    var handed = new List<NodeId>();
                    for (var block = first; block < end; block++)
                    {
                        var buffer = Node(pool, block);
                        if (fold.TryBegin(fold.Leaf(block), buffer) is not { } node)
                        {
                            Assert.Null(fold.Add(fold.Leaf(block), buffer));
                            continue;
                        }

                        Assert.Equal(block + 1, spec.Tree.EndBlock(node.Node));
                        Assert.Equal(handed, fold.Held);
                        var sum = Enumerable.Range(ReductionTree.FirstBlock(node.Node), block + 1 - ReductionTree.FirstBlock(node.Node)).Sum();
                        node.Fold(1, 1);
                        Assert.Equal((float)sum, node.Sum.ToHost().Span(1, 1)[0]);
                        node.FoldHeader();
                        node.Fold(0, 1);
                        Assert.Equal(((float)sum, (double)sum), (node.Sum.ToHost().Span(0, 1)[0], node.Sum.Header.LossSum));
                        fold.Complete(node);
                        handed.Add(node.Node);
                    }

                    Assert.Equal(spec.Covers[1], handed);
                    Assert.Equal(handed, fold.Held);
                }
            }
        }
    }

    /// <summary>What a block is added to in place is what it would have been added to, whole cover nodes in one piece or in parts.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_block_can_be_accumulated_on_the_sum_it_is_added_to_next(bool inParts)
    {
        var onTop = 0;
        for (var blocks = 1; blocks <= 12; blocks++)
        {
            for (var first = 0; first < blocks; first++)
            {
                for (var end = first + 1; end <= blocks; end++)
                {
                    using var pool = Pool();
                    var spec = Plans.Spec(blocks, [new BlockRange(0, first), new BlockRange(first, end), new BlockRange(end, blocks)]);
                    var fold = new BlockFold(spec, 1, pool);
                    for (var block = first; block < end; block++)
                    {
                        var left = fold.TakeLeft(block);
                        var (name, buffer) = left ?? (fold.Leaf(block), Node(pool, 0));
                        Assert.DoesNotContain(fold.Held, held => ReductionTree.FirstBlock(held) <= block && block < spec.Tree.EndBlock(held));
                        var node = inParts ? fold.TryBegin(name, buffer) : null;
                        buffer.ToHost().Span(0, 1)[0] += block;
                        if (node is null)
                        {
                            fold.Add(name, buffer);
                        }
                        else
                        {
                            node.Fold(0, 1);
                            fold.Complete(node);
                        }

                        onTop += left is null ? 0 : 1;
                    }

                    Assert.Equal(spec.Covers[1].ToHashSet(), fold.Held.ToHashSet());
                    var again = new BlockFold(spec, 1, pool, fold);
                    Assert.All(again.Kept, kept => Assert.Equal(
                        Enumerable.Range(ReductionTree.FirstBlock(kept.Node), spec.Tree.EndBlock(kept.Node) - ReductionTree.FirstBlock(kept.Node)).Sum(),
                        kept.Buffer.ToHost().Span(0, 1)[0]));
                    Assert.Equal(spec.Covers[1].Count, again.Kept.Count);
                }
            }
        }

        Assert.True(onTop > 100);
    }

    [Fact]
    public void A_node_that_is_dropped_is_not_held_and_its_memory_is_free()
    {
        using var pool = Pool();
        var fold = new BlockFold(Plans.Spec(4, [new BlockRange(0, 4)]), 0, pool);
        NodeBuffer[] buffers = [Node(pool, 0), Node(pool, 1), Node(pool, 2), Node(pool, 3)];
        for (var block = 0; block < 3; block++)
        {
            fold.Add(fold.Leaf(block), buffers[block]);
        }

        var node = fold.TryBegin(fold.Leaf(3), buffers[3])!;
        node.Fold(0, 1);
        fold.Drop(node);
        Assert.Empty(fold.Held);
        Assert.Equal(buffers.ToHashSet(), Enumerable.Range(0, 4).Select(_ => pool.Rent()).ToHashSet());
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
                var node = Node(pool, block);
                rented.Add(node);
                fold.Add(fold.Leaf(block), node);
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
        Assert.Null(fold.Add(fold.Leaf(0), Node(pool, 3)));
        Assert.Null(fold.Add(fold.Leaf(1), Node(pool, 4)));
        var (node, sum) = fold.Finish(() => Node(pool, 0)) ?? default;
        Assert.Equal((new NodeId(0, 1), 7f), (node, sum.ToHost().Span(0, 1)[0]));

        var idle = new BlockFold(new NodeId(0, 2), pool);
        Assert.Equal(0, (idle.Finish(() => Node(pool, 0)) ?? default).Buffer.ToHost().Span(0, 1)[0]);
    }

    private static HostNodePool Pool(int elements = 1) => new(new ParameterLayout([("one", [elements], SlotKind.Parameter)]));

    private static NodeBuffer Node(NodePool pool, float value)
    {
        var node = pool.Rent();
        node.ToHost().Span(0, (int)node.ToHost().Count).Fill(value);
        node.Header = new NodeHeader(value, 1, []);
        return node;
    }
}
