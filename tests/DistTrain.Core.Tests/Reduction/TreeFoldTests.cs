using CsCheck;
using DistTrain.Core.Reduction;

namespace DistTrain.Core.Tests.Reduction;

/// <summary>
/// The promise of equal bits, at its smallest: real-valued floats, whose sum depends on the order of addition, added by
/// any workers in any order, against a recursive reference.
/// </summary>
public class TreeFoldTests
{
    private static readonly Gen<float[]> Values = Gen.Float[-1e3f, 1e3f].Array[1, 100];

    [Fact]
    public void Any_order_of_arrival_gives_the_bits_of_the_reference() =>
        Gen.Select(Values, Gen.Int[0, 1000]).Always((values, seed) =>
        {
            var tree = new ReductionTree(values.Length);
            var blocks = Shuffled(Enumerable.Range(0, values.Length), seed);
            AssertSameBits(Reference(values), Fold(tree, blocks.Select(b => (tree.Leaf(b), values[b]))));
        });

    [Fact]
    public void Any_assignment_to_workers_gives_the_bits_of_the_reference() =>
        Gen.Select(Values, Gen.Int[0, 100].Array[0, 9], Gen.Int[0, 1000]).Always((values, cuts, seed) =>
        {
            var tree = new ReductionTree(values.Length);
            var sent = new List<(NodeId, float)>();
            foreach (var (first, end) in Ranges(values.Length, cuts))
            {
                var worker = new TreeFold<float>(tree, (left, right) => left + right);
                foreach (var block in Shuffled(Enumerable.Range(first, end - first), seed))
                {
                    worker.Add(tree.Leaf(block), values[block]);
                }

                foreach (var node in tree.Cover(first, end))
                {
                    Assert.True(worker.Take(node, out var sum));
                    sent.Add((node, sum));
                }

                Assert.Empty(worker.Waiting);
            }

            AssertSameBits(Reference(values), Fold(tree, Shuffled(sent, seed)));
        });

    [Fact]
    public void Adding_up_per_worker_first_gives_other_bits()
    {
        // The control: if this passed for every input, the two tests above would prove nothing.
        var different = 0;
        Gen.Select(Values, Gen.Int[0, 100].Array[1, 9]).Always((values, cuts) =>
        {
            var sum = 0f;
            foreach (var (first, end) in Ranges(values.Length, cuts))
            {
                sum += values[first..end].Aggregate(0f, (a, b) => a + b);
            }

            different += sum == Reference(values) ? 0 : 1;
        });
        Assert.InRange(different, 50, 100);
    }

    [Fact]
    public void Left_and_right_are_never_exchanged()
    {
        // Text does not commute, so it shows the order of every addition.
        var tree = new ReductionTree(6);
        foreach (var seed in Enumerable.Range(0, 50))
        {
            var fold = new TreeFold<string>(tree, (left, right) => $"({left}{right})");
            foreach (var block in Shuffled(Enumerable.Range(0, 6), seed))
            {
                fold.Add(tree.Leaf(block), $"{block}");
            }

            Assert.True(fold.Take(tree.Root, out var sum));
            Assert.Equal("(((01)(23))(45))", sum);
        }
    }

    [Fact]
    public void Adding_returns_the_highest_node_that_is_complete()
    {
        var tree = new ReductionTree(5);
        var fold = new TreeFold<int>(tree, (left, right) => left + right);
        Assert.Equal((new NodeId(0, 3), 8), fold.Add(tree.Leaf(3), 8));
        Assert.Equal((new NodeId(1, 1), 12), fold.Add(tree.Leaf(2), 4));
        Assert.Equal((new NodeId(2, 1), 16), fold.Add(tree.Leaf(4), 16));
        Assert.Equal((new NodeId(0, 0), 1), fold.Add(tree.Leaf(0), 1));
        Assert.Equal(3, fold.Waiting.Count);
        Assert.Equal((tree.Root, 31), fold.Add(tree.Leaf(1), 2));
        Assert.Single(fold.Waiting);
    }

    [Fact]
    public void In_order_an_aligned_range_needs_log2_K_plus_1_buffers_and_any_range_2_log2_K()
    {
        for (var blocks = 2; blocks <= 40; blocks++)
        {
            var tree = new ReductionTree(blocks);
            var depth = tree.Root.Level;
            for (var first = 0; first < blocks; first++)
            {
                for (var end = first + 1; end <= blocks; end++)
                {
                    var fold = new TreeFold<int>(tree, (left, right) => left + right);
                    var buffers = 0;
                    for (var block = first; block < end; block++)
                    {
                        buffers = Math.Max(buffers, fold.Waiting.Count + 1);
                        fold.Add(tree.Leaf(block), 1);
                    }

                    Assert.InRange(buffers, 1, tree.CoverCount(first, end) == 1 ? depth + 1 : 2 * depth);
                }
            }
        }
    }

    [Fact]
    public void Adding_a_node_twice_throws()
    {
        var tree = new ReductionTree(4);
        var fold = new TreeFold<int>(tree, (left, right) => left + right);
        fold.Add(tree.Leaf(2), 1);
        Assert.Throws<InvalidOperationException>(() => fold.Add(tree.Leaf(2), 1));
        Assert.Equal((new NodeId(1, 1), 3), fold.Add(tree.Leaf(3), 2));
        Assert.Throws<InvalidOperationException>(() => fold.Add(new NodeId(1, 1), 3));

        var single = new ReductionTree(1);
        var root = new TreeFold<int>(single, (left, right) => left + right);
        root.Add(single.Root, 1);
        Assert.Throws<InvalidOperationException>(() => root.Add(single.Root, 1));
    }

    [Fact]
    public void A_name_the_tree_does_not_use_throws_instead_of_waiting_for_ever()
    {
        var fold = new TreeFold<int>(new ReductionTree(5), (left, right) => left + right);
        var error = Assert.Throws<ArgumentException>(() => fold.Add(new NodeId(0, 4), 1));
        Assert.StartsWith("The tree over 5 blocks has no node (0,4).", error.Message, StringComparison.Ordinal);
        Assert.Empty(fold.Waiting);
    }

    /// <summary>The oracle: split at the largest power of two below the length.</summary>
    private static float Reference(ReadOnlySpan<float> values)
    {
        if (values.Length == 1)
        {
            return values[0];
        }

        var half = (int)(System.Numerics.BitOperations.RoundUpToPowerOf2((uint)values.Length) / 2);
        return Reference(values[..half]) + Reference(values[half..]);
    }

    private static float Fold(ReductionTree tree, IEnumerable<(NodeId Node, float Value)> arrivals)
    {
        var fold = new TreeFold<float>(tree, (left, right) => left + right);
        foreach (var (node, value) in arrivals)
        {
            fold.Add(node, value);
        }

        Assert.Single(fold.Waiting);
        Assert.True(fold.Take(tree.Root, out var sum));
        return sum;
    }

    /// <summary>The contiguous ranges between cuts, empty ones included.</summary>
    private static IEnumerable<(int First, int End)> Ranges(int blocks, int[] cuts)
    {
        var first = 0;
        foreach (var end in cuts.Select(c => Math.Min(c, blocks)).Append(blocks).Order())
        {
            yield return (first, end);
            first = end;
        }
    }

    private static T[] Shuffled<T>(IEnumerable<T> items, int seed)
    {
        var array = items.ToArray();
        new Random(seed).Shuffle(array);
        return array;
    }

    private static void AssertSameBits(float expected, float actual) =>
        Assert.Equal(BitConverter.SingleToInt32Bits(expected), BitConverter.SingleToInt32Bits(actual));
}
