using CsCheck;
using DistTrain.Core.Batches;

namespace DistTrain.Core.Tests.Batches;

public class BatchPlanTests
{
    private static readonly Gen<BatchPlan> SmallPlans =
        Gen.Select(Gen.Long[1, 3000], Gen.Int[1, 80], Gen.Int[1, 100])
            .Select((samples, micro, blocks) => new BatchPlan(samples, new BatchGeometry(samples, micro, blocks)));

    [Fact]
    public void Micro_batches_hold_every_sample_once_and_differ_by_at_most_one() =>
        SmallPlans.Always(plan =>
            AssertPartition(plan.Samples, plan.MicroBatches, plan.MicroBatch));

    [Fact]
    public void Blocks_hold_every_micro_batch_once_and_differ_by_at_most_one() =>
        SmallPlans.Always(plan => AssertPartition(plan.MicroBatches, plan.Blocks, i => plan.Block((int)i)));

    [Fact]
    public void No_micro_batch_is_larger_than_asked_and_no_fewer_would_do() =>
        Gen.Select(Gen.Long[1, 1L << 40], Gen.Int[1, 1 << 20], Gen.Int[1, 1 << 16]).Always((samples, micro, blocks) =>
        {
            var plan = new BatchPlan(samples, new BatchGeometry(samples, micro, blocks));
            Assert.True((Int128)plan.MicroBatches * micro >= samples);
            Assert.True((Int128)(plan.MicroBatches - 1) * micro < samples);
            Assert.Equal(Math.Min(plan.MicroBatches, blocks), plan.Blocks);
            Assert.InRange(plan.MicroBatch(plan.MicroBatches / 2).Count, 1, micro);
        });

    [Theory]
    [InlineData(1L << 40, 1, 1 << 16)]
    [InlineData((1L << 40) - 1, 3, 65_521)]
    [InlineData(long.MaxValue, 1, 64)]
    [InlineData(long.MaxValue, 7, int.MaxValue)]
    public void Huge_operations_do_not_overflow(long samples, int micro, int blocks)
    {
        var plan = new BatchPlan(samples, new BatchGeometry(samples, micro, blocks));
        Assert.Equal(0, plan.MicroBatch(0).First);
        Assert.Equal(samples, plan.MicroBatch(plan.MicroBatches - 1).End);
        Assert.Equal(0, plan.Block(0).First);
        Assert.Equal(plan.MicroBatches, plan.Block(plan.Blocks - 1).End);
        foreach (var block in new[] { 1, plan.Blocks / 3, plan.Blocks / 2, plan.Blocks - 1 })
        {
            Assert.Equal(plan.Block(block - 1).End, plan.Block(block).First);
            var even = plan.MicroBatches / plan.Blocks;
            Assert.InRange(plan.Block(block).Count, even, even + 1);
        }
    }

    [Fact]
    public void The_cut_never_changes()
    {
        var plan = new BatchPlan(10, new BatchGeometry(10, 3, 3));
        Assert.Equal([0, 2, 5, 7], Enumerable.Range(0, 4).Select(i => plan.MicroBatch(i).First));
        Assert.Equal([0, 1, 2], Enumerable.Range(0, 3).Select(b => plan.Block(b).First));
        Assert.Equal([1, 1, 2], Enumerable.Range(0, 3).Select(b => plan.Block(b).Count));
    }

    [Fact]
    public void What_does_not_exist_is_refused()
    {
        var plan = new BatchPlan(10, new BatchGeometry(10, 3, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => plan.MicroBatch(4));
        Assert.Throws<ArgumentOutOfRangeException>(() => plan.MicroBatch(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => plan.Block(2));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BatchPlan(0, new BatchGeometry(10, 3, 2)));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BatchPlan(1, new BatchGeometry(1, 0, 2)));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BatchPlan(1, new BatchGeometry(1, 1, 0)));
    }

    private static void AssertPartition(long whole, long parts, Func<long, IndexRange> part)
    {
        var end = 0L;
        for (var index = 0L; index < parts; index++)
        {
            Assert.Equal(end, part(index).First);
            Assert.InRange(part(index).Count, Math.Max(1, whole / parts), (whole - 1) / parts + 1);
            end = part(index).End;
        }

        Assert.Equal(whole, end);
    }
}
