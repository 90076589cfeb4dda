using DistTrain.Core.Planning;

namespace DistTrain.Core.Tests.Planning;

public sealed class WorkShareTests
{
    [Fact]
    public void Each_block_is_followed_by_the_next_one_whatever_ranges_they_lie_in()
    {
        var share = new WorkShare([], [new BlockRange(0, 0), new BlockRange(2, 5), new BlockRange(5, 6), new BlockRange(9, 9), new BlockRange(11, 13)]);
        var blocks = new List<int>();
        for (var block = share.BlockAfter(-1); block is not null; block = share.BlockAfter(block.Value))
        {
            blocks.Add(block.Value);
        }

        Assert.Equal([2, 3, 4, 5, 11, 12], blocks);
        Assert.Null(new WorkShare([], []).BlockAfter(-1));
        Assert.Null(WorkShare.Of(new BlockRange(3, 3)).BlockAfter(-1));
    }
}
