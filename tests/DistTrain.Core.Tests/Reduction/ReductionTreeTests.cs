using CsCheck;
using DistTrain.Core.Reduction;

namespace DistTrain.Core.Tests.Reduction;

public class ReductionTreeTests
{
    private static readonly Gen<(int Blocks, int First, int End)> Ranges =
        Gen.Select(Gen.Int[1, 200], Gen.Int[0, 200], Gen.Int[0, 200])
            .Select((blocks, a, b) => (blocks, Math.Min(Math.Min(a, b), blocks), Math.Min(Math.Max(a, b), blocks)));

    [Fact]
    public void The_tree_over_six_blocks_is_the_one_in_its_picture()
    {
        var tree = new ReductionTree(6);
        Assert.Equal(new NodeId(3, 0), tree.Root);
        Assert.Equal(
            [new(0, 0), new(0, 1), new(0, 2), new(0, 3), new(0, 4), new NodeId(0, 5)],
            Enumerable.Range(0, 6).Select(tree.Leaf));
        Assert.Equal(new NodeId(2, 1), tree.Canonical(new NodeId(1, 2)));
        Assert.Equal([new NodeId(2, 0), new NodeId(2, 1)], tree.Cover(0, 4).Concat(tree.Cover(4, 6)));
        Assert.Equal([new NodeId(3, 0)], tree.Cover(0, 6));
        Assert.Equal([new(0, 1), new(1, 1), new NodeId(0, 4)], tree.Cover(1, 5));
        Assert.Equal([new(0, 3), new NodeId(2, 1)], tree.Cover(3, 6));
    }

    [Fact]
    public void A_cover_holds_exactly_its_range_by_canonical_names() =>
        Ranges.Always(
            (blocks, first, end) =>
            {
                var tree = new ReductionTree(blocks);
                var at = first;
                foreach (var node in tree.Cover(first, end))
                {
                    Assert.True(tree.Contains(node));
                    Assert.Equal(at, ReductionTree.FirstBlock(node));
                    at = tree.EndBlock(node);
                }

                Assert.Equal(end, at);
                Assert.Equal(tree.Cover(first, end).Count, tree.CoverCount(first, end));
            },
            samples: 2000);

    [Fact]
    public void A_cover_has_the_fewest_nodes_that_can_hold_its_range()
    {
        for (var blocks = 1; blocks <= 33; blocks++)
        {
            var tree = new ReductionTree(blocks);
            var nodes = AllNodes(tree)
                .Select(node => (First: ReductionTree.FirstBlock(node), End: tree.EndBlock(node))).ToList();
            for (var first = 0; first <= blocks; first++)
            {
                // fewest[e]: the fewest nodes of the tree that together hold exactly the blocks [first, e).
                var fewest = Enumerable.Repeat(1000, blocks + 1).ToArray();
                fewest[first] = 0;
                for (var end = first; end <= blocks; end++)
                {
                    Assert.Equal(fewest[end], tree.CoverCount(first, end));
                    foreach (var node in nodes.Where(n => n.First == end))
                    {
                        fewest[node.End] = Math.Min(fewest[node.End], fewest[end] + 1);
                    }
                }
            }
        }
    }

    [Fact]
    public void A_cover_has_at_most_twice_log2_K_nodes_and_half_of_that_from_block_0()
    {
        for (var blocks = 1; blocks <= 130; blocks++)
        {
            var tree = new ReductionTree(blocks);
            for (var first = 0; first < blocks; first++)
            {
                for (var end = first + 1; end <= blocks; end++)
                {
                    Assert.InRange(tree.CoverCount(first, end), 1, Math.Max(1, 2 * tree.Root.Level));
                }
            }

            Assert.All(
                Enumerable.Range(1, blocks),
                end => Assert.InRange(tree.CoverCount(0, end), 1, tree.Root.Level + 1));
        }
    }

    [Fact]
    public void An_aligned_range_is_a_single_node()
    {
        var tree = new ReductionTree(100);
        Assert.Equal([new NodeId(5, 1)], tree.Cover(32, 64));
        Assert.Equal([new NodeId(5, 3)], tree.Cover(96, 100));
        Assert.Equal([tree.Root], tree.Cover(0, 100));
        Assert.Equal([tree.Leaf(7)], tree.Cover(7, 8));
        Assert.Empty(tree.Cover(7, 7));
    }

    [Fact]
    public void Blocks_covered_alike_have_one_canonical_name()
    {
        for (var blocks = 1; blocks <= 70; blocks++)
        {
            var tree = new ReductionTree(blocks);
            foreach (var sameBlocks in AllNodes(tree).GroupBy(n => (ReductionTree.FirstBlock(n), tree.EndBlock(n))))
            {
                var highest = sameBlocks.MaxBy(n => n.Level);
                Assert.All(sameBlocks, node => Assert.Equal(highest, tree.Canonical(node)));
                Assert.Equal([highest], sameBlocks.Where(tree.Contains));
            }
        }
    }

    [Theory]
    [InlineData(-1, 0)]
    [InlineData(0, -1)]
    [InlineData(0, 6)]
    [InlineData(1, 2)]
    [InlineData(2, 2)]
    [InlineData(4, 0)]
    [InlineData(31, 1)]
    [InlineData(3, int.MaxValue)]
    [InlineData(0, int.MaxValue)]
    [InlineData(int.MaxValue, int.MaxValue)]
    [InlineData(int.MinValue, int.MinValue)]
    public void Names_from_outside_that_the_tree_does_not_use_are_not_contained(int level, int index) =>
        Assert.False(new ReductionTree(6).Contains(new NodeId(level, index)));

    [Fact]
    public void The_deepest_tree_works_to_its_edge()
    {
        const int Blocks = 1 << ReductionTree.MaxLevel;
        var tree = new ReductionTree(Blocks);
        Assert.Equal(new NodeId(ReductionTree.MaxLevel, 0), tree.Root);
        Assert.Equal(tree.Root, Assert.Single(tree.Cover(0, Blocks)));
        Assert.Equal(2 * (ReductionTree.MaxLevel - 1), tree.Cover(1, Blocks - 1).Count);
    }

    [Fact]
    public void What_does_not_exist_is_refused()
    {
        var tree = new ReductionTree(6);
        Assert.Throws<ArgumentOutOfRangeException>(() => tree.Leaf(6));
        Assert.Throws<ArgumentOutOfRangeException>(() => tree.Leaf(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => tree.Cover(0, 7));
        Assert.Throws<ArgumentOutOfRangeException>(() => tree.Cover(3, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => tree.Cover(-1, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ReductionTree(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ReductionTree((1 << ReductionTree.MaxLevel) + 1));
    }

    /// <summary>Every name of a non-empty node, canonical or not.</summary>
    private static IEnumerable<NodeId> AllNodes(ReductionTree tree) =>
        from level in Enumerable.Range(0, tree.Root.Level + 1)
        from index in Enumerable.Range(0, ((tree.Blocks - 1) >> level) + 1)
        select new NodeId(level, index);
}
