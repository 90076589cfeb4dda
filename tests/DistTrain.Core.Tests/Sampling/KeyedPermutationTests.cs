using CsCheck;
using DistTrain.Core.Numerics;
using DistTrain.Core.Sampling;

namespace DistTrain.Core.Tests.Sampling;

public class KeyedPermutationTests
{
    [Fact]
    public void Every_element_has_exactly_one_position_for_every_count_to_500()
    {
        for (var count = 1; count <= 500; count++)
        {
            AssertPermutation(key: (ulong)count * 31, count);
        }
    }

    [Fact]
    public void Every_element_has_exactly_one_position_for_larger_counts() =>
        Gen.Select(Gen.ULong, Gen.Int[501, 100_000]).Always(AssertPermutation, samples: 8);

    [Fact]
    public void Elements_of_enormous_data_stay_in_range() =>
        Gen.Select(Gen.ULong, Gen.Long[1, 1L << 62], Gen.Double[0, 1]).Always(
            (key, count, place) =>
            {
                var position = Math.Min(count - 1, (long)(place * count));
                Assert.InRange(new KeyedPermutation(key, count)[position], 0, count - 1);
            },
            samples: 2000);

    [Fact]
    public void The_largest_count_of_all_works()
    {
        var permutation = new KeyedPermutation(3, long.MaxValue);
        Assert.InRange(permutation[long.MaxValue - 1], 0, long.MaxValue - 1);
        Assert.NotEqual(permutation[0], permutation[1]);
    }

    [Fact]
    public void Permutations_never_change()
    {
        // From a second implementation, in Python. A change here changes the samples of every step of every run.
        Assert.Equal([5, 1, 3, 0, 7, 9, 4, 8, 2, 6], First(10, Hash64.EpochKey(1, 0), 10));
        Assert.Equal([1288, 539, 345, 1242, 401, 1587, 939, 661], First(8, key: 7, count: 1797));
        Assert.Equal([7365962444, 4672981072, 9125036015, 4761755988], First(4, key: 7, count: 10_000_000_000));
        Assert.Equal(1168030448, new KeyedPermutation(7, 10_000_000_000)[9_999_999_999]);
        Assert.Equal([3536178262313360364, 2144181001133407228], First(2, key: 7, count: 1L << 62));
    }

    [Fact]
    public void Different_keys_give_different_permutations()
    {
        var seen = new HashSet<string>();
        for (var epoch = 0; epoch < 1000; epoch++)
        {
            Assert.True(seen.Add(string.Join(',', First(16, Hash64.EpochKey(1, epoch), 1000))));
        }
    }

    [Theory]
    [InlineData(7)]
    [InlineData(10)]
    [InlineData(100)]
    public void Every_element_is_about_equally_likely_at_every_position(int count)
    {
        const int Keys = 4000;
        foreach (var position in new[] { 0, count / 2, count - 1 })
        {
            var seen = new int[count];
            for (var key = 0; key < Keys; key++)
            {
                seen[new KeyedPermutation(Hash64.EpochKey(9, key), count)[position]]++;
            }

            AssertUniform(seen);
        }
    }

    [Fact]
    public void Neighbours_do_not_stay_together()
    {
        // Distances between the images of neighbouring positions, around the ring, in ten equal classes.
        const int Count = 10_000;
        var order = First(Count, key: 11, Count);
        var classes = new int[10];
        for (var at = 0; at < Count; at++)
        {
            var distance = (order[(at + 1) % Count] - order[at] + Count) % Count;
            classes[distance * 10 / Count]++;
        }

        AssertUniform(classes);
    }

    [Fact]
    public void A_position_outside_the_data_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new KeyedPermutation(1, 5)[5]);
        Assert.Throws<ArgumentOutOfRangeException>(() => new KeyedPermutation(1, 5)[-1]);
        Assert.Throws<ArgumentOutOfRangeException>(() => new KeyedPermutation(1, 0));
    }

    private static void AssertPermutation(ulong key, int count)
    {
        var seen = new bool[count];
        var permutation = new KeyedPermutation(key, count);
        for (var position = 0; position < count; position++)
        {
            var element = permutation[position];
            Assert.False(seen[element]);
            seen[element] = true;
        }
    }

    private static long[] First(int positions, ulong key, long count)
    {
        var permutation = new KeyedPermutation(key, count);
        return [.. Enumerable.Range(0, positions).Select(p => permutation[p])];
    }

    /// <summary>Pearson's chi-square, within five standard deviations of its mean.</summary>
    private static void AssertUniform(int[] seen)
    {
        var expected = (double)seen.Sum() / seen.Length;
        var chiSquare = seen.Sum(n => (n - expected) * (n - expected) / expected);
        var freedom = seen.Length - 1;
        Assert.InRange(chiSquare, 0, freedom + 5 * Math.Sqrt(2.0 * freedom));
    }
}
