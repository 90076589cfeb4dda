using System.Numerics;
using CsCheck;
using DistTrain.Core.Batches;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Tuning;

namespace DistTrain.Core.Tests.Tuning;

/// <summary>The parts are those that a worker allocates; the nodes keep to the bounds of the design.</summary>
public sealed class MemoryModelTests
{
    private const long Vector = 4_000_000;
    private static readonly StateSize Adam = new(1_000_000, OptimizerVectors: 2, HasAverage: false);

    [Fact]
    public void Every_part_is_counted()
    {
        var model = MemoryModel.Of(Adam with { HasAverage = true }, Batch(1024, 16), workers: 1, runtime: 11, activations: 7);
        Assert.Equal((2 * Vector, 2 * Vector, 7 * Vector, 2 * Vector, 4 * Vector), (model.Weights, model.Optimizer, model.Nodes, model.Exchange, model.Checkpoint));
        Assert.Equal((17 * Vector) + 18, model.Total);
    }

    [Fact]
    public void What_the_program_takes_is_what_was_held_beside_state_and_node() =>
        Assert.Equal(100 + MemoryModel.Growth, MemoryModel.RuntimeOf(Adam, held: 100 + (4 * Vector)));

    [Theory]
    [InlineData(16, 1)]
    [InlineData(16, 2)]
    [InlineData(32, 4)]
    public void Few_blocks_need_few_nodes_and_more_workers_fewer_each(long samples, int workers)
    {
        var blocks = samples / 16;
        var expected = BitOperations.Log2((uint)(blocks / Math.Min(blocks, workers))) + 1;
        Assert.Equal(expected * Vector, MemoryModel.Of(Adam, Batch(samples, 16), workers, 0, 0).Nodes);
    }

    [Theory]
    [InlineData(128, 3)]
    [InlineData(112, 2)]
    [InlineData(32, 1)]
    [InlineData(16, 1)]
    [InlineData(2048, 7)]
    public void A_block_on_top_of_another_needs_no_node_as_long_as_it_is_one_micro_batch(long samples, int nodes) =>
        Assert.Equal(nodes * Vector, MemoryModel.Of(Adam with { AddsOnTop = true }, Batch(samples, 16), workers: 1, 0, 0).Nodes);

    [Fact]
    public void Nodes_are_at_most_as_many_as_the_design_says() => Gen.Select(Gen.Int[1, 600], Gen.Int[0, 600], Gen.Int[0, 600]).Always((blocks, a, b) =>
    {
        var (first, end) = (Math.Min(a, b) % (blocks + 1), Math.Max(a, b) % (blocks + 1));
        (first, end) = (Math.Min(first, end), Math.Max(first, end));
        var levels = BitOperations.Log2((uint)blocks) + 1;
        var most = MemoryModel.MostNodes(new ReductionTree(blocks), new BlockRange(first, end), addsOnTop: false);
        Assert.InRange(most, end > first ? 1 : 0, first == 0 ? levels + 1 : (2 * levels) + 1);
    }, samples: 2000);

    [Fact]
    public void Nothing_is_staged_where_one_worker_owns_all_and_a_slice_of_the_other_where_two_have_halves()
    {
        var tree = new ReductionTree(8);
        Assert.Equal(0, MemoryModel.MostStaged(tree, [new BlockRange(0, 8)], owner: 0));
        Assert.Equal(1, MemoryModel.MostStaged(tree, [new BlockRange(0, 4), new BlockRange(4, 8)], owner: 0));
    }

    [Fact]
    public void What_is_staged_is_less_than_all_that_comes() => Gen.Select(Gen.Int[1, 64], Gen.Int[1, 8]).Always((blocks, workers) =>
    {
        var tree = new ReductionTree(blocks);
        var ranges = BlockPlanner.Plan(blocks, [.. Enumerable.Repeat(new WorkerSpeed(1), workers)], 0.1);
        var coming = ranges.Sum(r => tree.CoverCount(r.First, r.End));
        Assert.All(Enumerable.Range(0, workers), owner => Assert.InRange(MemoryModel.MostStaged(tree, ranges, owner), 0, coming));
    });

    private static BatchPlan Batch(long samples, int micro) => new(samples, new BatchGeometry(samples, micro, 64));
}
