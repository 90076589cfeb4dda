using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Training.Native;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests.Exchange;

public sealed class OperationTableTests
{
    [Fact]
    public async Task A_message_of_the_next_operation_waits_until_it_has_begun()
    {
        var (table, first, second) = (new OperationTable(), Operation(5), Operation(6));
        table.Begin(first);
        Assert.Same(first, await table.FindAsync(5, CancellationToken.None));
        var ahead = table.FindAsync(6, CancellationToken.None).AsTask();
        Assert.False(ahead.IsCompleted);
        table.Begin(second);
        Assert.Same(second, await ahead);
        Assert.Null(await table.FindAsync(5, CancellationToken.None));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(7)]
    [InlineData(0)]
    [InlineData(ulong.MaxValue)]
    public async Task No_other_operation_is_known(ulong number)
    {
        var table = new OperationTable();
        table.Begin(Operation(5));
        Assert.Null(await table.FindAsync(number, CancellationToken.None));
    }

    [Fact]
    public async Task Before_the_first_operation_every_message_waits_for_it()
    {
        var (table, first) = (new OperationTable(), Operation(1));
        var (right, wrong) = (table.FindAsync(1, CancellationToken.None).AsTask(), table.FindAsync(2, CancellationToken.None).AsTask());
        table.Begin(first);
        Assert.Same(first, await right);
        Assert.Null(await wrong);
    }

    [Fact]
    public async Task Closing_ends_every_wait_now_and_later()
    {
        var (table, first) = (new OperationTable(), Operation(5));
        table.Begin(first);
        var ahead = table.FindAsync(6, CancellationToken.None).AsTask();
        table.Close(new InvalidOperationException("over"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => ahead);
        await Assert.ThrowsAsync<InvalidOperationException>(() => first.Whole);
        var second = Operation(6);
        table.Begin(second);
        await Assert.ThrowsAsync<InvalidOperationException>(() => second.Whole);
    }

    [Fact]
    public async Task A_wait_ends_when_it_is_cancelled()
    {
        var table = new OperationTable();
        using var cancellation = new CancellationTokenSource();
        var ahead = table.FindAsync(1, cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ahead);
    }

    private static AllReduce Operation(ulong number) => new(
        number, 42, 0, Plans.Spec(1, [new BlockRange(0, 1)]), new ShardTable(null, 1), null, 0,
        new ReducedVector(new NativeVector(0), []), new Nobody());

    private sealed class Nobody : IPeerLinks
    {
        public void SendNode(
            ulong operation, ulong weightsHash, NodeId node, NativeVector values, NodeHeader? header, ShardTable shards, int owner, Range chunks)
        {
        }

        public void SendShardChunk(
            ulong operation, int index, Chunk chunk, NativeVector reduced, ReadOnlyMemory<double> tileSquares, NodeHeader? header)
        {
        }
    }
}
