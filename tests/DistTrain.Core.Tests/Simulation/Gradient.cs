using DistTrain.Core.Numerics;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>
/// A sum that remembers what was added, in which order. Unlike numbers these never agree by chance: who adds a block twice, leaves one out, adds out of tree order
/// or computes from other weights has other bits.
/// </summary>
internal sealed class Gradient
{
    private readonly Gradient? _left;
    private readonly Gradient? _right;
    private readonly int _block;

    private Gradient(ulong bits, int block, Gradient? left = null, Gradient? right = null) => (Bits, _block, _left, _right) = (bits, block, left, right);

    /// <summary>Equal only where everything is.</summary>
    public ulong Bits { get; }

    /// <summary>A block of an operation that is cut up otherwise is another one.</summary>
    public static Gradient OfBlock(ulong weights, Operation operation, int block) =>
        new(Hash64.Combine(Hash64.Combine(weights, operation.Number, (ulong)block), (ulong)operation.Geometry.Micro), block);

    public static Gradient Add(Gradient left, Gradient right) => new(Hash64.Combine(left.Bits, right.Bits), 0, left, right);

    public override string ToString() => _left is null ? $"{_block}" : $"({_left}+{_right})";
}
