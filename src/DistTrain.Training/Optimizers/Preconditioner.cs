using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Training.Optimizers;

/// <summary>A rule that divides the gradient, element by element, by a scale of its own: there, what counts as noise is other than in the gradient.</summary>
public interface IPreconditioner
{
    /// <summary>The sum of squares of a vector in that space: of g / (sqrt(v / (1 - b2^t)) + eps), as the state is. Before the first step, where v is 0, every scale is eps.</summary>
    /// <param name="offset">First element in the flat vector.</param>
    /// <param name="sums">The vector from there.</param>
    double PreconditionedSquares(long offset, ReadOnlySpan<float> sums);
}

/// <summary>The scale of Adam and its kin.</summary>
internal static class Preconditioner
{
    private const int Lanes = 8;

    /// <summary>See <see cref="IPreconditioner"/>; added like <see cref="Core.Numerics.VectorKernels.SumOfSquares"/>: eight lanes in float64, then those in order.</summary>
    /// <param name="sums">The vector.</param>
    /// <param name="square">v, as long.</param>
    /// <param name="power">b2^t.</param>
    /// <param name="epsilon">What keeps the scale away from zero.</param>
    public static double SumOfSquares(ReadOnlySpan<float> sums, ReadOnlySpan<float> square, double power, float epsilon)
    {
        var root = power == 1 ? 1f : (float)Math.Sqrt(1 - power);
        ref var g = ref MemoryMarshal.GetReference(sums);
        ref var v = ref MemoryMarshal.GetReference(square);
        var (low, high) = (Vector256<double>.Zero, Vector256<double>.Zero);
        nuint i = 0;
        for (; i + Lanes <= (nuint)sums.Length; i += Lanes)
        {
            var scale = (Vector256.Sqrt(Vector256.LoadUnsafe(ref v, i)) / root) + Vector256.Create(epsilon);
            var (l, h) = Vector256.Widen(Vector256.LoadUnsafe(ref g, i) / scale);
            low += l * l;
            high += h * h;
        }

        Span<double> lanes = stackalloc double[Lanes];
        low.CopyTo(lanes);
        high.CopyTo(lanes[4..]);
        for (var tail = (int)i; tail < sums.Length; tail++)
        {
            var scaled = (double)(sums[tail] / ((MathF.Sqrt(square[tail]) / root) + epsilon));
            lanes[tail % Lanes] += scaled * scaled;
        }

        var sum = 0.0;
        foreach (var lane in lanes)
        {
            sum += lane;
        }

        return sum;
    }
}
