using DistTrain.Protocol.Hosting;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>The memory that a worker's server reads sockets into.</summary>
public sealed class BlockPoolTests
{
    [Fact]
    public void A_block_that_was_given_back_is_given_out_again()
    {
        using var pool = new BlockPool();
        var first = pool.Rent();
        var memory = first.Memory;
        Assert.Equal(BlockPool.BlockBytes, memory.Length);
        first.Dispose();

        using var second = pool.Rent(1);
        Assert.Equal(memory, second.Memory);
    }

    [Fact]
    public void A_block_that_is_given_back_twice_has_one_owner()
    {
        using var pool = new BlockPool();
        var first = pool.Rent();
        first.Dispose();
        first.Dispose();

        using var second = pool.Rent();
        using var third = pool.Rent();
        Assert.NotEqual(second.Memory, third.Memory);
    }

    [Fact]
    public void No_more_is_promised_than_a_block() => Assert.Throws<ArgumentOutOfRangeException>(() =>
    {
        using var pool = new BlockPool();
        pool.Rent(BlockPool.BlockBytes + 1);
    });
}
