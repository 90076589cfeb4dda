using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Core.Numerics;

/// <summary>
/// Sums over fp32 vectors whose bits do not depend on the processor's vector width: element-wise operations have one rounding per element, and
/// the one reduction has eight fixed lanes. No multiply is fused with an add.
/// </summary>
public static class VectorKernels
{
    private const int Lanes = 8;

    /// <summary>left += right, element by element.</summary>
    /// <param name="left">Read and written.</param>
    /// <param name="right">As long as <paramref name="left"/>.</param>
    public static void AddInPlace(Span<float> left, ReadOnlySpan<float> right) => Add(left, right, left);

    /// <summary>sum = left + right, element by element. <paramref name="sum"/> may be either argument.</summary>
    public static void Add(ReadOnlySpan<float> left, ReadOnlySpan<float> right, Span<float> sum)
    {
        if (left.Length != right.Length || left.Length != sum.Length)
        {
            throw new ArgumentException($"Lengths {left.Length}, {right.Length} and {sum.Length} differ.");
        }

        ref var a = ref MemoryMarshal.GetReference(left);
        ref var b = ref MemoryMarshal.GetReference(right);
        ref var c = ref MemoryMarshal.GetReference(sum);
        nuint i = 0;
        var length = (nuint)left.Length;
        for (; i + 4 * Lanes <= length; i += 4 * Lanes)
        {
            var s0 = Vector256.LoadUnsafe(ref a, i) + Vector256.LoadUnsafe(ref b, i);
            var s1 = Vector256.LoadUnsafe(ref a, i + Lanes) + Vector256.LoadUnsafe(ref b, i + Lanes);
            var s2 = Vector256.LoadUnsafe(ref a, i + 2 * Lanes) + Vector256.LoadUnsafe(ref b, i + 2 * Lanes);
            var s3 = Vector256.LoadUnsafe(ref a, i + 3 * Lanes) + Vector256.LoadUnsafe(ref b, i + 3 * Lanes);
            s0.StoreUnsafe(ref c, i);
            s1.StoreUnsafe(ref c, i + Lanes);
            s2.StoreUnsafe(ref c, i + 2 * Lanes);
            s3.StoreUnsafe(ref c, i + 3 * Lanes);
        }

        for (var tail = (int)i; tail < left.Length; tail++)
        {
            sum[tail] = left[tail] + right[tail];
        }
    }

    /// <summary>
    /// sum = last + (... + (second + first)), element by element: the bits of adding each vector to the next one in place, in one pass over memory, which
    /// writes nothing but the sum.
    /// </summary>
    /// <param name="chain">Where the vectors lie, the innermost summand first; at least one.</param>
    /// <param name="sum">Where the sum goes, which may be one of them.</param>
    /// <param name="count">Elements of each.</param>
    public static unsafe void AddChain(ReadOnlySpan<nint> chain, float* sum, long count)
    {
        var first = (float*)chain[0];
        var others = chain[1..];
        var i = 0L;
        for (; i + 4 * Lanes <= count; i += 4 * Lanes)
        {
            var s0 = Vector256.Load(first + i);
            var s1 = Vector256.Load(first + i + Lanes);
            var s2 = Vector256.Load(first + i + 2 * Lanes);
            var s3 = Vector256.Load(first + i + 3 * Lanes);
            foreach (var other in others)
            {
                var left = (float*)other + i;
                s0 = Vector256.Load(left) + s0;
                s1 = Vector256.Load(left + Lanes) + s1;
                s2 = Vector256.Load(left + 2 * Lanes) + s2;
                s3 = Vector256.Load(left + 3 * Lanes) + s3;
            }

            s0.Store(sum + i);
            s1.Store(sum + i + Lanes);
            s2.Store(sum + i + 2 * Lanes);
            s3.Store(sum + i + 3 * Lanes);
        }

        for (; i < count; i++)
        {
            var tail = first[i];
            foreach (var other in others)
            {
                tail = ((float*)other)[i] + tail;
            }

            sum[i] = tail;
        }
    }

    /// <summary>
    /// The sum of squares in float64: element i goes to lane i mod 8 (a square of two fp32 is exact in float64), then the lanes are added from
    /// 0 to 7. Not finite exactly when an element is not finite.
    /// </summary>
    public static double SumOfSquares(ReadOnlySpan<float> values)
    {
        ref var first = ref MemoryMarshal.GetReference(values);
        var low = Vector256<double>.Zero;
        var high = Vector256<double>.Zero;
        nuint i = 0;
        for (; i + Lanes <= (nuint)values.Length; i += Lanes)
        {
            var (l, h) = Vector256.Widen(Vector256.LoadUnsafe(ref first, i));
            low += l * l;
            high += h * h;
        }

        Span<double> lanes = stackalloc double[Lanes];
        low.CopyTo(lanes);
        high.CopyTo(lanes[4..]);
        for (var tail = (int)i; tail < values.Length; tail++)
        {
            lanes[tail % Lanes] += (double)values[tail] * values[tail];
        }

        return Sum(lanes);
    }

    /// <summary>The sum of squares of the products of two vectors: products in fp32, the rest as in <see cref="SumOfSquares"/>.</summary>
    public static double SumOfSquaredProducts(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        if (left.Length != right.Length)
        {
            throw new ArgumentException($"Lengths {left.Length} and {right.Length} differ.");
        }

        ref var a = ref MemoryMarshal.GetReference(left);
        ref var b = ref MemoryMarshal.GetReference(right);
        var low = Vector256<double>.Zero;
        var high = Vector256<double>.Zero;
        nuint i = 0;
        for (; i + Lanes <= (nuint)left.Length; i += Lanes)
        {
            var (l, h) = Vector256.Widen(Vector256.LoadUnsafe(ref a, i) * Vector256.LoadUnsafe(ref b, i));
            low += l * l;
            high += h * h;
        }

        Span<double> lanes = stackalloc double[Lanes];
        low.CopyTo(lanes);
        high.CopyTo(lanes[4..]);
        for (var tail = (int)i; tail < left.Length; tail++)
        {
            var product = left[tail] * right[tail];
            lanes[tail % Lanes] += (double)product * product;
        }

        return Sum(lanes);
    }

    private static double Sum(ReadOnlySpan<double> lanes)
    {
        var sum = 0.0;
        foreach (var lane in lanes)
        {
            sum += lane;
        }

        return sum;
    }
}
