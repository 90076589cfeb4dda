using DistTrain.Core.Numerics;

namespace DistTrain.Core.Tests.Numerics;

/// <summary>Random numbers that are a function of their key.</summary>
public sealed class CounterRandomTests
{
    [Fact]
    public void The_words_are_those_of_SplitMix64()
    {
        // The reference implementation's first words for seed 1234567 (S. Vigna, splitmix64.c, public domain).
        var random = new CounterRandom(1234567);
        Assert.Equal([6457827717110365317UL, 3203168211198807973UL, 9817491932198370423UL],
            new[] { random.NextWord(), random.NextWord(), random.NextWord() });
    }

    [Fact]
    public void Bounded_numbers_fill_their_range_evenly()
    {
        var random = new CounterRandom(1);
        var counts = new int[7];
        for (var i = 0; i < 70_000; i++)
        {
            counts[random.Next(7)]++;
        }

        Assert.All(counts, c => Assert.InRange(c, 9_600, 10_400));
        Assert.Equal(0, random.Next(1));
    }

    [Fact]
    public void Normal_numbers_have_mean_0_and_variance_1_and_a_golden_first()
    {
        var random = new CounterRandom(2);
        var numbers = Enumerable.Range(0, 100_000).Select(_ => (double)random.NextNormal()).ToArray();

        Assert.InRange(numbers.Average(), -0.02, 0.02);
        Assert.InRange(numbers.Average(x => x * x), 0.98, 1.02);
        Assert.InRange(numbers.Count(x => Math.Abs(x) < 1) / 100_000.0, 0.67, 0.70);
    }
}
