using DistTrain.Core.Batches;
using DistTrain.Core.Membership;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;
using Google.Protobuf;

namespace DistTrain.Cluster.Tests;

/// <summary>What goes over the wire comes out as it went in, however it travels.</summary>
public sealed class WireTests
{
    /// <summary>Held nodes travel as the blocks they cover where they are just that: at the ragged edge as well, and not where one is missing, or a node that could be larger.</summary>
    [Theory]
    [InlineData("", false)]
    [InlineData("0.0", true)]
    [InlineData("0.3 2.1 1.4", true)]
    [InlineData("0.5 1.3 3.1", true)]
    [InlineData("1.4 1.5", false)]
    [InlineData("0.0 0.1", false)]
    [InlineData("1.0 1.2", false)]
    [InlineData("1.2 1.0", false)]
    public void Shares_are_told_whole_whatever_a_member_holds(string nodes, bool asBlocks)
    {
        NodeId[] held = [.. nodes.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(n => n.Split('.')).Select(n => new NodeId(int.Parse(n[0]), int.Parse(n[1])))];
        WorkShare[] shares = [new([], [new BlockRange(0, 2), new BlockRange(9, 11)]), new(held, []), new([], [])];
        var operation = new Operation(7, OperationKind.Train, 7, new SampleRange(0, 0, 11), new BatchGeometry(11, 1, 11), 0.1, false, false);
        var sent = OperationDescriptor.Parser.ParseFrom(Wire.ToWire(operation, 3, -1, shares).ToByteArray());
        Assert.Equal(asBlocks, sent.Shares[1].HeldBlocks is not null);
        Assert.Equal(asBlocks ? 0 : held.Length, sent.Shares[1].Held.Count);

        var told = Wire.SharesOf(sent)!;
        Assert.Equal(shares.Select(s => s.Held), told.Select(s => s.Held));
        Assert.Equal(shares.Select(s => s.Compute), told.Select(s => s.Compute));
        Assert.Null(Wire.SharesOf(Wire.ToWire(operation, 3, -1, null)));
    }

    [Fact]
    public void A_change_of_the_members_is_told_as_it_is()
    {
        var change = new MembershipChange(9, 4, [1, 700], [new ListedMember(1003, "http://host:1", -1), new ListedMember(1004, "http://other:1", 2)]);
        var told = Wire.FromWire(Membership.Parser.ParseFrom(Wire.ToWire(change).ToByteArray()));
        Assert.Equal((9UL, 4UL), (told.Generation, told.From));
        Assert.Equal(change.Gone, told.Gone);
        Assert.Equal(change.Came, told.Came);
    }
}
