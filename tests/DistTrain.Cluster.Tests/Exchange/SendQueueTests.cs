using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests.Exchange;

public sealed class SendQueueTests
{
    private const int Adders = 4;
    private const int Each = 2_000;
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Whatever_many_add_comes_out_once_and_in_the_order_of_each()
    {
        var queue = new SendQueue<(int Adder, int Number)>();
        var adding = Enumerable.Range(0, Adders).Select(adder => Task.Run(() =>
        {
            for (var number = 0; number < Each; number++)
            {
                queue.Add((adder, number));
                if (number % 7 == adder)
                {
                    Thread.Yield();
                }
            }
        })).ToList();
        var next = new int[Adders];
        for (var i = 0; i < Adders * Each; i++)
        {
            (int Adder, int Number) taken;
            while (!queue.TryTake(out taken))
            {
                await queue.AddedAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(Soon, TestContext.Current.CancellationToken);
            }

            Assert.Equal(next[taken.Adder]++, taken.Number);
        }

        await Task.WhenAll(adding);
        Assert.False(queue.TryTake(out _));
    }

    [Fact]
    public async Task A_wait_ends_when_it_is_cancelled_and_takes_nothing_along()
    {
        var queue = new SendQueue<int>();
        using var cancellation = new CancellationTokenSource();
        var waiting = queue.AddedAsync(cancellation.Token).AsTask();
        Assert.False(waiting.IsCompleted);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        queue.Add(7);
        await queue.AddedAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.True(queue.TryTake(out var taken));
        Assert.Equal(7, taken);
    }
}
