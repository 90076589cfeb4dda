using System.Numerics;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Sampling;

/// <summary>
/// A permutation of 0..<see cref="Count"/>-1 that is evaluated index by index: the shuffle of an epoch in constant
/// memory, whether the data set holds ten samples or ten billion.
/// </summary>
/// <remarks>
/// A balanced Feistel network (M. Luby, C. Rackoff, "How to construct pseudorandom permutations from pseudorandom
/// functions", SIAM J. Comput. 17(2), 1988) permutes the smallest domain of 2^(2h) words that holds all indices; an
/// image outside 0..Count-1 is permuted again until it falls inside (cycle walking; J. Black, P. Rogaway, "Ciphers with
/// arbitrary finite domains", CT-RSA 2002). The domain is at most four times Count, hence at most four evaluations of
/// the network on average over the positions. Which permutation a key names is part of a run's identity and never
/// changes: the tests hold golden values.
/// </remarks>
public readonly struct KeyedPermutation
{
    private const int Rounds = 8;
    private readonly ulong _key;
    private readonly int _halfBits;
    private readonly ulong _halfMask;

    /// <summary>The permutation of one epoch's samples.</summary>
    /// <param name="key">Which permutation; see <see cref="Hash64.EpochKey"/>.</param>
    /// <param name="count">How many elements, at least 1.</param>
    public KeyedPermutation(ulong key, long count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        _key = key;
        Count = count;
        var bits = 64 - BitOperations.LeadingZeroCount((ulong)count - 1);
        _halfBits = Math.Max(1, (bits + 1) / 2);
        _halfMask = (1UL << _halfBits) - 1;
    }

    /// <summary>The number of elements.</summary>
    public long Count { get; }

    /// <summary>The element at a position.</summary>
    /// <param name="position">0..Count-1.</param>
    /// <returns>0..Count-1; every value for exactly one position.</returns>
    public long this[long position]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(position);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(position, Count);
            var word = (ulong)position;
            do
            {
                word = Encrypt(word);
            }
            while (word >= (ulong)Count);
            return (long)word;
        }
    }

    private ulong Encrypt(ulong word)
    {
        var left = word >> _halfBits;
        var right = word & _halfMask;
        for (var round = 0; round < Rounds; round++)
        {
            var mixed = left ^ (Hash64.Combine(_key, (ulong)round, right) & _halfMask);
            left = right;
            right = mixed;
        }

        return (left << _halfBits) | right;
    }
}
