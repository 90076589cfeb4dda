namespace DistTrain.Core.Numerics;

/// <summary>
/// Deterministic 64-bit mixing: the only source of randomness in this project besides torch's own generator.
/// </summary>
/// <remarks>
/// The mixer is the finaliser of SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014, doi 10.1145/2660193.2660195): a bijection of the 64-bit words in which every input bit
/// reaches every output bit.
/// </remarks>
public static class Hash64
{
    private const ulong GoldenGamma = 0x9E3779B97F4A7C15;

    /// <summary>Mixes one word. Bijective.</summary>
    public static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }

    /// <summary>A word that depends on both words and on their order.</summary>
    public static ulong Combine(ulong first, ulong second) =>
        Mix(Mix(first + GoldenGamma) ^ (second * GoldenGamma + 1));

    /// <summary>A word that depends on all three words and on their order.</summary>
    public static ulong Combine(ulong first, ulong second, ulong third) => Combine(Combine(first, second), third);

    /// <summary>
    /// The seed of torch's generator for the forward pass of one micro-batch. It depends on the place of the
    /// micro-batch in the run and not on the worker, so that dropout draws the same mask wherever the micro-batch is
    /// computed.
    /// </summary>
    /// <param name="seed">The run's seed.</param>
    /// <param name="step">The step, from 1.</param>
    /// <param name="microBatch">The micro-batch within the step, from 0.</param>
    /// <returns>
    /// A non-negative seed. Torch's CPU generator uses its low 32 bits, which are as well mixed as the others.
    /// </returns>
    public static long ForwardSeed(ulong seed, long step, long microBatch) =>
        (long)(Combine(Combine(seed, Domain.Forward), (ulong)step, (ulong)microBatch) >> 1);

    /// <summary>The seed of a run's initial weights, non-negative.</summary>
    public static long InitialSeed(ulong seed) => (long)(Combine(seed, Domain.Initial) >> 1);

    /// <summary>The key of one epoch's permutation.</summary>
    public static ulong EpochKey(ulong seed, long epoch) => Combine(seed, Domain.Permutation, (ulong)epoch);

    /// <summary>The key of the random numbers that change one sample in one epoch; see <see cref="CounterRandom"/>.</summary>
    /// <param name="seed">The run's seed.</param>
    /// <param name="epoch">The pass over the data, from 0.</param>
    /// <param name="position">The sample's position in the epoch, from 0.</param>
    public static ulong SampleKey(ulong seed, long epoch, long position) =>
        Combine(Combine(seed, Domain.Sample), (ulong)epoch, (ulong)position);

    /// <summary>The key of the random numbers by which the noise scale after a step gets its interval.</summary>
    public static ulong NoiseKey(ulong seed, long step) => Combine(Combine(seed, Domain.Noise), (ulong)step);

    /// <summary>Keeps streams drawn from one seed apart.</summary>
    private static class Domain
    {
        public const ulong Forward = 1;
        public const ulong Initial = 2;
        public const ulong Permutation = 3;
        public const ulong Sample = 4;
        public const ulong Noise = 5;
    }
}
