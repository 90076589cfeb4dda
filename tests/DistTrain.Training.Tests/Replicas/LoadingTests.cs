using DistTrain.TestKit;
using DistTrain.Training.Replicas;

namespace DistTrain.Training.Tests.Replicas;

/// <summary>A replica computes while the next micro-batch is loaded, and has the same bits.</summary>
public sealed class LoadingTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);
    private static readonly string[] Run = ["batch.global=24", "batch.micro=4", "batch.blocks=2"];

    [Fact]
    public void The_next_micro_batch_is_loaded_while_one_is_computed_within_a_block_and_beyond()
    {
        var (account, losses, loaded) = (new LoadAccount(), 0, new List<bool>());
        using var plain = new Bench(Bench.Pattern(), Run);
        using var bench = new Bench(account.Watch(Bench.Pattern()), Run);
        var (operation, same) = (bench.Operation(), plain.Operation());
        account.BeforeLoss = () => loaded.Add(++losses == 6 || account.Await(losses + 1, Deadline));
        for (var block = 0; block < 2; block++)
        {
            var node = bench.Nodes.Rent();
            bench.Replica.Accumulate(operation, block, node, () => { }, next: block == 0 ? 1 : null);
            var (gradient, header) = plain.Block(same, block);
            Assert.Equal(gradient, node.ToHost().Span(0, gradient.Length).ToArray());
            Assert.Equal((header.LossSum, header.Weight), (node.Header.LossSum, node.Header.Weight));
            bench.Nodes.Return(node);
        }

        Assert.Equal(Enumerable.Repeat(true, 6), loaded);
        Assert.Equal([false, true, true, true, true, true], account.Threads.Select(thread => thread == "data"));
        Assert.Equal((0, false), (account.Left, account.WereTwoAtOnce));
    }

    [Fact]
    public void Data_that_cannot_be_read_end_the_micro_batch_they_belong_to()
    {
        var (account, losses) = (new LoadAccount(), 0);
        using var bench = new Bench(account.Watch(Bench.Pattern()), Run);
        var operation = bench.Operation();
        var third = bench.Samples(operation, operation.Batches.MicroBatch(2));
        account.Before = samples =>
        {
            if (samples.SequenceEqual(third))
            {
                throw new InvalidDataException($"Sample {samples[0]} is damaged: copy the data again.");
            }
        };
        account.BeforeLoss = () => Assert.True(account.Await(++losses + 1, Deadline));
        var node = bench.Nodes.Rent();
        var thrown = Assert.Throws<InvalidDataException>(() => bench.Replica.Accumulate(operation, 0, node, () => { }));
        Assert.Equal($"Sample {third[0]} is damaged: copy the data again.", thrown.Message);
        Assert.Equal((2, 3, 0), (losses, account.Threads.Count, account.Left));
        bench.Nodes.Return(node);
    }
}
