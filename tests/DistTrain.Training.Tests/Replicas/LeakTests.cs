using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Replicas;

/// <summary>Steps use the memory of the steps before.</summary>
[Collection(AloneInProcess.Name)]
public sealed class LeakTests
{
    private const int Warmup = 3_000;
    private const int Steps = 2_000;
    private const long Limit = 8 << 20;

    [Fact]
    public void Two_thousand_steps_leave_no_tensor_and_no_memory()
    {
        using var bench = new Bench(Bench.Pattern(), "batch.global=8", "batch.micro=4", "batch.blocks=1");
        var node = bench.Nodes.Rent();
        Train(1, Warmup);
        var (tensors, managed, resident) = Measure();
        Train(Warmup + 1, Warmup + Steps);
        var after = Measure();

        Assert.True(after.Tensors <= tensors, $"{after.Tensors - tensors} tensors are left");
        Assert.True(after.Managed - managed < Limit, $"The managed heap grew by {after.Managed - managed} bytes");
        Assert.True(after.Resident - resident < Limit, $"The process grew by {after.Resident - resident} bytes");

        void Train(int first, int last)
        {
            for (var step = first; step <= last; step++)
            {
                bench.Replica.Accumulate(bench.Operation(step), 0, node, () => { });
                bench.Apply(node, 0.01);
            }
        }
    }

    [Fact]
    public void A_replica_leaves_no_more_tensors_than_its_model_alone()
    {
        // TorchSharp's own layers leave the tensors they drew their weights in to the finalizer.
        Assert.Equal(LeftBy(() => Bench.Pattern().BuildModel().Dispose()), LeftBy(() =>
        {
            using var bench = new Bench(Bench.Pattern());
            bench.Step(1);
            bench.Replica.Probe();
        }));

        static long LeftBy(Action action)
        {
            action();
            var before = Tensor.TotalCount;
            action();
            return Tensor.TotalCount - before;
        }
    }

    private static (long Tensors, long Managed, long Resident) Measure()
    {
        for (var i = 0; i < 2; i++)
        {
            GC.Collect(2, GCCollectionMode.Forced, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }

        return (Tensor.TotalCount, GC.GetTotalMemory(forceFullCollection: true), Environment.WorkingSet);
    }
}
