using CsCheck;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;

namespace DistTrain.Core.Tests.Reduction;

public sealed class SalvageTests
{
    [Fact]
    public void The_largest_nodes_are_kept_then_those_of_the_lowest_rank()
    {
        var tree = new ReductionTree(8);
        var salvage = Salvage.Of(tree, [[new NodeId(0, 0), new NodeId(0, 5)], [new NodeId(1, 0), new NodeId(0, 5)], [new NodeId(9, 9)]]);
        Assert.Equal([[new NodeId(0, 5)], [new NodeId(1, 0)], []], salvage.Kept);
        Assert.Equal([2, 3, 4, 6, 7], salvage.Missing);
    }

    [Fact]
    public void Whatever_is_held_the_shares_are_a_partition_of_the_blocks() =>
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 6], Gen.Int[0, 1 << 20]).Always(sample =>
        {
            var (blocks, ranks, seed) = sample;
            var (tree, random) = (new ReductionTree(blocks), new Random(seed));
            var held = Enumerable.Range(0, ranks).Select(_ => (IReadOnlyList<NodeId>)[.. Enumerable.Range(0, random.Next(5)).Select(_ => Any(tree, random)).Distinct()]).ToList();
            var salvage = Salvage.Of(tree, held);
            var shares = WorkShare.Recover(salvage, [.. Enumerable.Repeat(new WorkerSpeed(1), ranks)], 0.01);

            var covered = shares.SelectMany(s => s.Cover(tree))
                .SelectMany(node => Enumerable.Range(ReductionTree.FirstBlock(node), tree.EndBlock(node) - ReductionTree.FirstBlock(node)));
            Assert.Equal(Enumerable.Range(0, blocks), covered.Order());
            Assert.Equal(salvage.Missing, shares.SelectMany(s => s.Compute).SelectMany(r => Enumerable.Range(r.First, r.Count)).Order());
            Assert.All(shares.Zip(held), pair => Assert.Subset(pair.Second.ToHashSet(), pair.First.Held.ToHashSet()));
        }, samples: 500);

    [Fact]
    public void Missing_blocks_are_given_out_by_speed_in_runs()
    {
        var salvage = new Salvage([[], []], [1, 2, 3, 7, 8, 9]);
        var shares = WorkShare.Recover(salvage, [new WorkerSpeed(1), new WorkerSpeed(2)], 0);
        Assert.Equal([new BlockRange(1, 4), new BlockRange(7, 8)], shares[0].Compute);
        Assert.Equal([new BlockRange(8, 10)], shares[1].Compute);
    }

    private static NodeId Any(ReductionTree tree, Random random)
    {
        var node = tree.Leaf(random.Next(tree.Blocks));
        for (var up = random.Next(4); up > 0 && node != tree.Root; up--)
        {
            node = tree.Canonical(node.Parent);
        }

        return node;
    }
}
