using CsCheck;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Tests.Numerics;

/// <summary>The vector kernels against loops that a reader can check, bit for bit.</summary>
public class VectorKernelsTests
{
    /// <summary>Every length around the vector widths, and long ones.</summary>
    public static TheoryData<int> Lengths => [.. Enumerable.Range(0, 101), 1_000, 4_095, 4_096, 4_097, 12_345];

    [Theory]
    [MemberData(nameof(Lengths))]
    public void Add_has_the_bits_of_a_scalar_loop_wherever_the_sum_goes(int length)
    {
        // One element in front moves the operands off any alignment.
        var left = Numbers(length + 1, 1).AsSpan(1);
        var right = Numbers(length + 1, 2).AsSpan(1);
        var expected = new float[length];
        for (var i = 0; i < length; i++)
        {
            expected[i] = left[i] + right[i];
        }

        var sum = new float[length];
        VectorKernels.Add(left, right, sum);
        AssertSameBits(expected, sum);

        var (first, second) = (left.ToArray(), right.ToArray());
        VectorKernels.Add(first, right, first);
        VectorKernels.Add(left, second, second);
        AssertSameBits(expected, first);
        AssertSameBits(expected, second);

        var inPlace = left.ToArray();
        VectorKernels.AddInPlace(inPlace, right);
        AssertSameBits(expected, inPlace);
    }

    [Theory]
    [MemberData(nameof(Lengths))]
    public void Sum_of_squares_has_the_bits_of_eight_lanes(int length)
    {
        var values = Numbers(length + 1, 3).AsSpan(1);

        Assert.Equal(Bits(EightLanes(values)), Bits(VectorKernels.SumOfSquares(values)));
    }

    [Theory]
    [MemberData(nameof(Lengths))]
    public void Sum_of_squared_products_has_the_bits_of_eight_lanes(int length)
    {
        var left = Numbers(length + 1, 3).AsSpan(1);
        var right = Numbers(length + 3, 5).AsSpan(3);
        var products = new float[length];
        for (var i = 0; i < length; i++)
        {
            products[i] = left[i] * right[i];
        }

        Assert.Equal(Bits(EightLanes(products)), Bits(VectorKernels.SumOfSquaredProducts(left, right)));
    }

    [Fact]
    public void Products_of_vectors_of_two_lengths_are_refused() =>
        Assert.Throws<ArgumentException>(() => VectorKernels.SumOfSquaredProducts(new float[3], new float[4]));

    [Fact]
    public void Random_vectors_have_the_bits_of_the_references() =>
        Gen.Select(Gen.Float[-1e30f, 1e30f].Array[0, 300], Gen.Int[0, 1000]).Always((left, seed) =>
        {
            var right = Numbers(left.Length, seed);
            var sum = new float[left.Length];
            VectorKernels.Add(left, right, sum);
            AssertSameBits([.. left.Zip(right, (l, r) => l + r)], sum);
            Assert.Equal(Bits(EightLanes(left)), Bits(VectorKernels.SumOfSquares(left)));
        });

    [Fact]
    public void The_order_of_eight_lanes_shows_in_the_bits()
    {
        // Otherwise the comparison above would prove nothing about order.
        var values = Numbers(1_000, 4);

        Assert.NotEqual(Bits(values.Sum(v => (double)v * v)), Bits(VectorKernels.SumOfSquares(values)));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void What_is_not_finite_is_seen_at_any_place(float value)
    {
        for (var at = 0; at < 77; at++)
        {
            var values = Numbers(77, 5);
            values[at] = value;
            var sum = Numbers(77, 6);
            VectorKernels.AddInPlace(sum, values);

            Assert.False(double.IsFinite(VectorKernels.SumOfSquares(values)));
            Assert.Equal(value, sum[at]);
            Assert.Equal(1, sum.Count(s => !float.IsFinite(s)));
        }
    }

    [Fact]
    public void Opposite_infinities_add_up_to_NaN_and_large_numbers_to_infinity()
    {
        float[] sum = [float.PositiveInfinity, float.MaxValue, -0f];
        VectorKernels.AddInPlace(sum, [float.NegativeInfinity, float.MaxValue, -0f]);

        Assert.Equal([float.NaN, float.PositiveInfinity, -0f], sum);
        Assert.True(float.IsNegative(sum[2]));
    }

    [Fact]
    public void Squares_of_the_largest_numbers_stay_finite()
    {
        var values = new float[1_000];
        values.AsSpan().Fill(float.MaxValue);

        Assert.True(double.IsFinite(VectorKernels.SumOfSquares(values)));
    }

    [Fact]
    public void Different_lengths_are_refused()
    {
        Assert.Throws<ArgumentException>(() => VectorKernels.AddInPlace(new float[3], new float[4]));
        Assert.Throws<ArgumentException>(() => VectorKernels.Add(new float[3], new float[3], new float[4]));
    }

    private static double EightLanes(ReadOnlySpan<float> values)
    {
        var lanes = new double[8];
        for (var i = 0; i < values.Length; i++)
        {
            lanes[i % 8] += (double)values[i] * values[i];
        }

        var sum = 0.0;
        foreach (var lane in lanes)
        {
            sum += lane;
        }

        return sum;
    }

    /// <summary>Numbers of both signs over thirty powers of two, so that order and rounding show.</summary>
    private static float[] Numbers(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() - 0.5f) * MathF.Pow(2, random.Next(-15, 15)))];
    }

    private static void AssertSameBits(float[] expected, float[] actual) =>
        Assert.Equal(expected.Select(BitConverter.SingleToUInt32Bits), actual.Select(BitConverter.SingleToUInt32Bits));

    private static long Bits(double value) => BitConverter.DoubleToInt64Bits(value);
}
