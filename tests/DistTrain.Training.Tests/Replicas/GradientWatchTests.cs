using DistTrain.TestKit;

namespace DistTrain.Training.Tests.Replicas;

/// <summary>Which gradients are said to be final while a backward pass runs.</summary>
public sealed class GradientWatchTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Fact]
    public void The_second_layer_is_final_before_the_first_has_begun_and_bits_are_as_ever()
    {
        var told = new List<int>();
        var toldBetween = new List<int>();
        var (isWatched, passes) = (false, 0);
        using var task = new LayersTask(40, Between);
        using var bench = new Bench(task, "batch.global=12", "batch.micro=4", "batch.blocks=1");
        var operation = bench.Operation();
        var expected = bench.Block(operation, 0).Gradient;
        isWatched = true;
        var node = bench.Nodes.Rent();
        bench.Replica.Accumulate(operation, 0, node, () => { }, Tell);

        Assert.Null(task.Failure);
        Assert.Equal(["first.bias", "first.weight", "second.bias", "second.weight"], bench.Replica.Layout.Slots.Select(s => s.Name));
        Assert.Equal([2, 3], toldBetween.Order());
        Assert.Equal(expected, node.ToHost().Span(0, expected.Length).ToArray());
        Assert.Equal(told.Count, told.Distinct().Count());
        bench.Nodes.Return(node);

        void Tell(int slot)
        {
            lock (told)
            {
                told.Add(slot);
                Monitor.Pulse(told);
            }
        }

        void Between()
        {
            // Only the last micro-batch of the block makes anything final.
            if (isWatched && ++passes == 3)
            {
                lock (told)
                {
                    while (told.Count < 2 && Monitor.Wait(told, Deadline))
                    {
                    }

                    toldBetween.AddRange(told);
                }
            }
            else
            {
                Assert.Empty(told);
            }
        }
    }

    [Fact]
    public void A_weight_of_two_layers_is_not_final_before_both_are_through()
    {
        var told = new List<int>();
        var toldBetween = new List<int>();
        using var bench = new Bench(new LayersTask(40, Between, isTied: true), "batch.global=4", "batch.micro=4");
        var node = bench.Nodes.Rent();
        bench.Replica.Accumulate(bench.Operation(), 0, node, () => { }, Tell);
        bench.Nodes.Return(node);

        // second.bias; second.weight is not used, and never is.
        Assert.Equal([2], toldBetween);

        void Tell(int slot)
        {
            lock (told)
            {
                told.Add(slot);
                Monitor.Pulse(told);
            }
        }

        void Between()
        {
            lock (told)
            {
                while (told.Count < 1 && Monitor.Wait(told, Deadline))
                {
                }

                toldBetween.AddRange(told);
            }
        }
    }

    [Fact]
    public void What_the_listener_throws_is_thrown_by_the_pass()
    {
        var isTold = new ManualResetEventSlim();
        using var bench = new Bench(new LayersTask(40, () => isTold.Wait(Deadline)), "batch.global=4", "batch.micro=4");
        var node = bench.Nodes.Rent();
        var thrown = Assert.Throws<ArithmeticException>(() => bench.Replica.Accumulate(bench.Operation(), 0, node, () => { }, _ =>
        {
            isTold.Set();
            throw new ArithmeticException("no");
        }));
        Assert.Equal("no", thrown.Message);
        bench.Replica.Accumulate(bench.Operation(), 0, node, () => { }, _ => { });
        bench.Nodes.Return(node);
    }

    [Fact]
    public void A_gradient_that_changes_after_it_was_final_is_an_error()
    {
        Bench? bench = null;
        var isTold = new ManualResetEventSlim();
        Training.Replicas.NodeBuffer? node = null;
        using var task = new LayersTask(40, () =>
        {
            isTold.Wait(Deadline);
            node!.Gradients[3].zero_();
        });
        using (bench = new Bench(task, "batch.global=4", "batch.micro=4"))
        {
            node = bench.Nodes.Rent();
            var told = 0;
            var thrown = Assert.Throws<InvalidOperationException>(() => bench.Replica.Accumulate(bench.Operation(), 0, node, () => { }, _ =>
            {
                if (++told == 2)
                {
                    isTold.Set();
                }
            }));
            Assert.StartsWith("The gradient of second.weight was changed after the backward pass had added to it", thrown.Message);
            bench.Nodes.Return(node);
        }
    }
}
