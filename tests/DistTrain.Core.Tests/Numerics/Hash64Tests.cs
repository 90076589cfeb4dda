using System.Numerics;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Tests.Numerics;

public class Hash64Tests
{
    [Fact]
    public void Mixing_the_multiples_of_the_golden_gamma_is_SplitMix64()
    {
        // The first three outputs of the published generator for seed 1234567.
        const ulong Gamma = 0x9E3779B97F4A7C15;
        Assert.Equal(6457827717110365317UL, Hash64.Mix(1234567 + Gamma));
        Assert.Equal(3203168211198807973UL, Hash64.Mix(unchecked(1234567 + 2 * Gamma)));
        Assert.Equal(9817491932198370423UL, Hash64.Mix(unchecked(1234567 + 3 * Gamma)));
    }

    [Fact]
    public void Seeds_and_keys_never_change()
    {
        // From a second implementation, in Python. A change here changes the bits of every run.
        Assert.Equal(14711742866302560323UL, Hash64.Combine(1, 2));
        Assert.Equal(6334225370231945226UL, Hash64.Combine(2, 1));
        Assert.Equal(17052347059599674634UL, Hash64.Combine(1, 2, 3));
        Assert.Equal(8239792357628638276L, Hash64.ForwardSeed(42, step: 7, microBatch: 3));
        Assert.Equal(8985795868988745122L, Hash64.InitialSeed(42));
        Assert.Equal(12124486861569834049UL, Hash64.EpochKey(42, epoch: 5));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void One_flipped_input_bit_flips_about_half_of_the_output_bits(int argument)
    {
        const int Words = 200;
        var flips = new double[64, 64];
        for (var word = 0UL; word < Words; word++)
        {
            for (var bit = 0; bit < 64; bit++)
            {
                var changed = word ^ (1UL << bit);
                var difference = argument == 0
                    ? Hash64.Combine(word, 7) ^ Hash64.Combine(changed, 7)
                    : Hash64.Combine(7, word) ^ Hash64.Combine(7, changed);
                Assert.InRange(BitOperations.PopCount(difference), 8, 56);
                for (var output = 0; output < 64; output++)
                {
                    flips[bit, output] += (difference >> output) & 1;
                }
            }
        }

        // 4096 pairs of bits, each a binomial of 200: six standard deviations are 42.
        Assert.All(flips.Cast<double>(), count => Assert.InRange(count, 58, 142));
        Assert.InRange(flips.Cast<double>().Average(), 99, 101);
    }

    [Fact]
    public void Forward_seeds_of_a_run_are_distinct_and_not_negative()
    {
        var seeds = new HashSet<long>();
        for (var step = 1L; step <= 100; step++)
        {
            for (var microBatch = 0L; microBatch < 100; microBatch++)
            {
                var seed = Hash64.ForwardSeed(1, step, microBatch);
                Assert.True(seed >= 0);
                Assert.True(seeds.Add(seed));
            }
        }
    }

    [Fact]
    public void Streams_drawn_from_one_seed_are_apart()
    {
        Assert.NotEqual((ulong)Hash64.InitialSeed(5), Hash64.EpochKey(5, 0) >> 1);
        Assert.NotEqual((ulong)Hash64.ForwardSeed(5, 1, 0), Hash64.EpochKey(5, 1) >> 1);
        Assert.NotEqual(Hash64.EpochKey(5, 0), Hash64.EpochKey(5, 1));
        Assert.NotEqual(Hash64.EpochKey(5, 0), Hash64.EpochKey(6, 0));
    }
}
