using DistTrain.Core.Batches;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Replicas;

/// <summary>The gradients of micro-batches: what their bits depend on, and how they add up.</summary>
[Collection(AloneInProcess.Name)]
public sealed class GradientTests
{
    private const double Tolerance = 1e-5;

    [Fact]
    public void A_micro_batch_has_the_same_bits_in_any_order_on_any_thread_in_any_memory()
    {
        var forward = Gradients(order => order);
        Assert.Equal(13, forward.Distinct().Count());

        Assert.Equal(forward, Gradients(order => order.Reverse()));
        Assert.Equal(forward, Gradients(order => order.OrderBy(block => block * 7 % 13)));
        Assert.Equal(forward, OnAnotherThread(() => Gradients(order => order)));
        Assert.Equal(forward, Gradients(order => order, between: () =>
        {
            // Other allocations move the allocator on, and dropout of others moves torch's generator.
            GC.KeepAlive(new byte[1_000]);
            rand(77).Dispose();
        }));

        static string[] Gradients(Func<IEnumerable<int>, IEnumerable<int>> order, Action? between = null)
        {
            using var bench = new Bench(Bench.Pattern());
            var operation = bench.Operation();
            var found = new string[operation.Batches.Blocks];
            foreach (var block in order(Enumerable.Range(0, found.Length)).ToList())
            {
                between?.Invoke();
                found[block] = Bits(bench.Block(operation, block).Gradient);
            }

            return found;
        }
    }

    [Fact]
    public void Small_odd_products_have_the_same_bits_at_any_alignment()
    {
        // Micro-batches of 3 x 12 into 24: without MKL_CBWR the product's last bits follow the operands' addresses.
        var (shift, garbage) = (0, new List<Tensor>());
        using var bench = new Bench(new ChangedTask(Bench.Pattern(), inputs: Moved), "batch.global=3", "batch.micro=4");
        var operation = bench.Operation();
        Assert.Equal(new IndexRange(0, 3), operation.Batches.MicroBatch(0));

        var found = new HashSet<string>();
        for (var round = 0; round < 20; round++)
        {
            for (shift = 0; shift < 16; shift++)
            {
                // Sizes that are no multiple of a cache line, freed in another order, move what torch allocates next.
                garbage.Add(empty([1 + (shift * 37 % 53)]));
                found.Add(Bits(bench.Block(operation, 0).Gradient));
                if (garbage.Count > 5)
                {
                    garbage[shift % 5].Dispose();
                    garbage.RemoveAt(shift % 5);
                }
            }
        }

        garbage.ForEach(g => g.Dispose());
        Assert.Single(found);

        // The same numbers, 4 x shift bytes behind where torch would put them.
        Tensor Moved(Tensor inputs)
        {
            using (inputs)
            {
                using var room = empty([inputs.numel() + 16]);
                var moved = room.narrow(0, shift, inputs.numel()).view(inputs.shape);
                moved.copy_(inputs);
                return moved;
            }
        }
    }

    [Fact]
    public void One_pass_of_64_is_eight_passes_of_8()
    {
        using var whole = WithoutDropout("batch.global=64", "batch.micro=64");
        using var parts = WithoutDropout("batch.global=64", "batch.micro=8", "batch.blocks=1");
        using var blocks = WithoutDropout("batch.global=64", "batch.micro=8");

        var expected = Mean(whole);
        Assert.InRange(Error(Mean(parts), expected), 0, Tolerance);
        Assert.InRange(Error(Mean(blocks), expected), 0, Tolerance);
    }

    [Fact]
    public void Ragged_batches_add_up_too_and_a_mean_of_means_does_not()
    {
        using var whole = WithoutDropout("batch.global=53", "batch.micro=64");
        using var ragged = WithoutDropout("batch.global=53", "batch.micro=8");
        var operation = ragged.Operation();
        var sizes = Enumerable.Range(0, operation.Batches.Blocks).Select(b => operation.Batches.MicroBatch(b).Count).ToList();
        Assert.Equal([7L, 8L], sizes.Distinct().Order());

        var expected = Mean(whole);
        Assert.InRange(Error(Mean(ragged), expected), 0, Tolerance);

        var meanOfMeans = new double[expected.Length];
        for (var block = 0; block < sizes.Count; block++)
        {
            var (gradient, header) = ragged.Block(operation, block);
            for (var i = 0; i < gradient.Length; i++)
            {
                meanOfMeans[i] += gradient[i] / (double)header.Weight / sizes.Count;
            }
        }

        Assert.InRange(Error(meanOfMeans, expected), 100 * Tolerance, 1);
    }

    [Fact]
    public void A_header_counts_samples_and_their_losses()
    {
        using var whole = WithoutDropout("batch.global=53", "batch.micro=64");
        using var ragged = WithoutDropout("batch.global=53", "batch.micro=8");
        var one = whole.Reduce(whole.Operation());
        var many = ragged.Reduce(ragged.Operation());

        Assert.Equal((53, 53), (one.Header.Weight, many.Header.Weight));
        Assert.Equal(one.Header.LossSum, many.Header.LossSum, 1e-4);
        Assert.InRange(one.Header.LossSum / 53, 1, 3);
    }

    /// <summary>A run whose forward pass draws nothing, so that micro-batches of different sizes compute the same.</summary>
    private static Bench WithoutDropout(params string[] settings) => new(
        new ChangedTask(Bench.Pattern(), () => nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 5))), settings);

    private static double[] Mean(Bench bench)
    {
        var reduced = bench.Reduce(bench.Operation());
        var weight = (double)reduced.Header.Weight;
        return [.. reduced.ToHost().Span(0, (int)reduced.ToHost().Count).ToArray().Select(g => g / weight)];
    }

    private static double Error(double[] actual, double[] expected) =>
        Math.Sqrt(actual.Zip(expected, (a, e) => (a - e) * (a - e)).Sum() / expected.Sum(e => e * e));

    private static string Bits(float[] values) =>
        Convert.ToHexString(System.IO.Hashing.XxHash128.Hash(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values)));

    private static T OnAnotherThread<T>(Func<T> function)
    {
        T? result = default;
        var thread = new Thread(() => result = function());
        thread.Start();
        thread.Join();
        return result!;
    }
}
