using DistTrain.Worker;
using DistTrain.Worker.Benching;
using DistTrain.Worker.Exchange.Links;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>What a benchmark of the all-reduce calls right is right, in every number.</summary>
public sealed class ExchangeVectorsTests
{
    [Theory]
    [InlineData(4)]
    [InlineData(4096)]
    [InlineData(3_000_004)]
    public async Task A_sum_is_right_when_it_is_there_and_wrong_when_it_is_not(long bytes)
    {
        await using var pair = await LinkedPair.StartAsync((_, s) => s with { Transports = [Transports.Tcp] });
        await pair.LinkAsync();
        using var one = new ExchangeVectors(0, 2, bytes);
        using var other = new ExchangeVectors(1, 2, bytes);
        await Task.WhenAll(one.ReduceAsync(pair.Groups[0], 1, 3), other.ReduceAsync(pair.Groups[1], 1, 3))
            .WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        one.Check();
        other.Check();
        one.Forget();
        Assert.Equal($"The sum of {bytes} bytes is wrong: number 0 is 0, not 3.", Assert.Throws<WorkerException>(one.Check).Message);
    }
}
