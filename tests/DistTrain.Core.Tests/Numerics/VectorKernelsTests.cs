using System.Runtime.InteropServices;
using CsCheck;
using DistTrain.Core.Numerics;
using DistTrain.Core.Reduction;

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

    /// <summary>As many levels as a tree may have, and a sum that lies in any of the vectors or elsewhere.</summary>
    [Fact]
    public unsafe void A_chain_has_the_bits_of_adding_one_by_one_in_place_and_writes_nothing_but_the_sum() =>
        Gen.Select(Gen.Int[1, ReductionTree.MaxLevel + 1], Gen.Int[0, 150], Gen.Int[0, ReductionTree.MaxLevel + 1], Gen.Int[0, 1000]).Always(drawn =>
        {
            var (levels, length, at, seed) = drawn;
            var vectors = Enumerable.Range(0, levels).Select(level => Numbers(length, seed + (31 * level))).ToArray();
            if (length > 0)
            {
                vectors[seed % levels][seed % length] = float.PositiveInfinity;
                vectors[^1][seed % length] = float.NegativeInfinity;
            }

            var expected = vectors[0].ToArray();
            foreach (var vector in vectors.Skip(1))
            {
                var left = vector.ToArray();
                VectorKernels.AddInPlace(left, expected);
                expected = left;
            }

            // One more than there are vectors, each with an element on both sides that is nobody's.
            using var memory = new NativeRows(levels + 1, length + 2, -7);
            var chain = new nint[levels];
            for (var level = 0; level < levels; level++)
            {
                vectors[level].CopyTo(memory.Row(level)[1..]);
                chain[level] = (nint)(memory.Address(level) + 1);
            }

            var sum = Math.Min(at, levels);
            VectorKernels.AddChain(chain, memory.Address(sum) + 1, length);
            for (var row = 0; row <= levels; row++)
            {
                var untouched = row < levels ? vectors[row] : [.. Enumerable.Repeat(-7f, length)];
                AssertSameBits([-7, .. row == sum ? expected : untouched, -7], memory.Row(row).ToArray());
            }
        });

    [Fact]
    public void The_order_of_a_chain_shows_in_the_bits()
    {
        // Otherwise the comparison above would prove nothing about order.
        float[][] v = [Numbers(1_000, 1), Numbers(1_000, 2), Numbers(1_000, 3)];

        Assert.NotEqual(v[0].Select((_, i) => v[2][i] + (v[1][i] + v[0][i])), v[0].Select((_, i) => v[2][i] + v[1][i] + v[0][i]));
    }

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

    /// <summary>Rows of one number, in memory that stays where it is.</summary>
    private sealed unsafe class NativeRows : IDisposable
    {
        private readonly int _length;
        private readonly float* _data;

        public NativeRows(int rows, int length, float value)
        {
            _length = length;
            _data = (float*)NativeMemory.Alloc((nuint)(rows * length), sizeof(float));
            new Span<float>(_data, rows * length).Fill(value);
        }

        public float* Address(int row) => _data + (row * _length);

        public Span<float> Row(int row) => new(Address(row), _length);

        public void Dispose() => NativeMemory.Free(_data);
    }
}
