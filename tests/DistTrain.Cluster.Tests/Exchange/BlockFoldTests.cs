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
                        if (fold.Add(block, Node(pool, block)) is not var (node, buffer))
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
                fold.Add(block, node);
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
        Assert.Null(fold.Add(0, Node(pool, 3)));
        Assert.Null(fold.Add(1, Node(pool, 4)));
        var (node, sum) = fold.Finish(() => Node(pool, 0)) ?? default;
        Assert.Equal((new NodeId(0, 1), 7f), (node, sum.ToHost().Span(0, 1)[0]));

        var idle = new BlockFold(new NodeId(0, 2), pool);
        Assert.Equal(0, (idle.Finish(() => Node(pool, 0)) ?? default).Buffer.ToHost().Span(0, 1)[0]);
    }

    private static HostNodePool Pool() => new(new ParameterLayout([("one", [1], SlotKind.Parameter)]));

    private static NodeBuffer Node(NodePool pool, float value)
    {
        var node = pool.Rent();
        node.ToHost().Span(0, 1)[0] = value;
        node.Header = new NodeHeader(value, 1, []);
        return node;
    }
}
