using DistTrain.Core.Reduction;
using DistTrain.Protocol.Exchange;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>Folds that an operation leaves behind, and another takes.</summary>
[Collection(AloneInProcess.Name)]
public sealed class ChunkFoldsTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void What_waited_in_an_operation_that_was_abandoned_is_given_back(int blocksOfTheNext)
    {
        var folds = new ChunkFolds();
        var waiting = ChunkPayload.Rent(3);
        Take(2).Sums.Add(new NodeId(0, 0), waiting);
        var next = Take(blocksOfTheNext);
        Assert.Empty(next.Sums.Waiting);

        // The pool hands out first what this thread gave back last.
        Assert.Same(waiting, ChunkPayload.Rent(3));

        ChunkFold Take(int blocks) => folds.Take(new ReductionTree(blocks), chunks: 1, nodes: blocks, (_, left, _) => left)[0];
    }
}
