using System.Diagnostics;
using DistTrain.Benching;
using DistTrain.Core.Numerics;
using DistTrain.Training.Native;

namespace DistTrain.Benchmarks;

/// <summary>The vector kernels in GB/s of memory read and written, against memcpy of the same length.</summary>
internal static class Kernels
{
    private const double SliceSeconds = 0.03;

    public static Task RunAsync(int rounds)
    {
        Console.WriteLine("GB/s counts bytes read and written: memcpy 8 a float, Add 12, AddChain of three vectors 16, SumOfSquares 4. Ratios are of GB/s, within a round; the chain's is of the time of the two Adds it stands for.\n");
        Console.WriteLine("| floats | memcpy GB/s | Add GB/s | Add / memcpy | AddChain GB/s | two Adds / AddChain | SumOfSquares GB/s | SumOfSquares / memcpy |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|");
        foreach (var count in new[] { 4_096, 61_440, 1 << 20, 10 << 20 })
        {
            using var left = new NativeVector(count);
            using var right = new NativeVector(count);
            using var sum = new NativeVector(count);
            left.Span(0, count).Fill(1e-3f);
            right.Span(0, count).Fill(1e-6f);
            var (copy, add, chain, squares) = (new List<double>(), new List<double>(), new List<double>(), new List<double>());
            var sink = 0.0;
            for (var round = -2; round < rounds; round++)
            {
                var copied = Rate(8.0 * count, () => right.Span(0, count).CopyTo(left.Span(0, count)));
                var added = Rate(12.0 * count, () => VectorKernels.AddInPlace(left.Span(0, count), right.Span(0, count)));
                var chained = Rate(16.0 * count, () => NativeVector.AddChain([right, left, sum], 0, count, sum));
                var squared = Rate(4.0 * count, () => sink += VectorKernels.SumOfSquares(left.Span(0, count)));
                if (round >= 0)
                {
                    copy.Add(copied);
                    add.Add(added);
                    chain.Add(chained);
                    squares.Add(squared);
                }
            }

            Console.WriteLine(
                $"| {count:N0} | {Median.Of(copy).Value:0.0} | {Median.Of(add).Value:0.0} | {Median.Of(add.Zip(copy, (a, c) => a / c))} "
                + $"| {Median.Of(chain).Value:0.0} | {Median.Of(chain.Zip(add, (c, a) => 24 / a / (16 / c)))} "
                + $"| {Median.Of(squares).Value:0.0} | {Median.Of(squares.Zip(copy, (s, c) => s / c))} |");
            GC.KeepAlive(sink);
        }

        Console.WriteLine($"\nMedians of {rounds} interleaved rounds of {SliceSeconds * 1000:0} ms each; 95 % intervals from order statistics.");
        return Task.CompletedTask;
    }

    /// <summary>Best of the repetitions that fit the slice: what the kernel does when nobody interrupts it.</summary>
    private static double Rate(double bytes, Action kernel)
    {
        var repeat = Math.Max(1, (int)(4e6 / bytes));
        var (best, slice) = (double.MaxValue, Stopwatch.StartNew());
        while (slice.Elapsed.TotalSeconds < SliceSeconds)
        {
            var started = Stopwatch.GetTimestamp();
            for (var i = 0; i < repeat; i++)
            {
                kernel();
            }

            best = Math.Min(best, Stopwatch.GetElapsedTime(started).TotalSeconds / repeat);
        }

        return bytes / best / 1e9;
    }
}
