namespace DistTrain.Core.Numerics;

/// <summary>
/// A stream of random numbers that is a function of its key alone: the same numbers for the same sample in the same epoch, whoever draws them and whatever
/// was drawn before. SplitMix64 (see <see cref="Hash64"/>), started at the key.
/// </summary>
/// <param name="key">Which stream; see <see cref="Hash64.SampleKey"/>.</param>
public struct CounterRandom(ulong key)
{
    private const ulong Gamma = 0x9E3779B97F4A7C15;
    private ulong _state = key;

    /// <summary>The next 64 random bits.</summary>
    public ulong NextWord() => Hash64.Mix(_state += Gamma);

    /// <summary>A whole number of 0..<paramref name="bound"/>-1, by the high half of a product (D. Lemire, arXiv 1805.10941, without rejection).</summary>
    /// <param name="bound">At least 1, far below 2^32.</param>
    public int Next(int bound) => (int)((UInt128)NextWord() * (uint)bound >> 64);

    /// <summary>
    /// A number with mean 0 and variance 1 that is normal to within a percent: the sum of twelve uniform ones. It takes additions only, hence has the same
    /// bits on every machine, which a logarithm of the system's library has not.
    /// </summary>
    public float NextNormal()
    {
        var sum = 0L;
        for (var word = 0; word < 3; word++)
        {
            var bits = NextWord();
            for (var part = 0; part < 4; part++)
            {
                sum += (ushort)(bits >> (16 * part));
            }
        }

        return (sum - (12 * 32767.5f)) / 65536f;
    }
}
