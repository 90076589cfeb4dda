using DistTrain.Core.Runs;
using DistTrain.Protocol.V1;
using DistTrain.Worker.Exchange.Links;
using Google.Protobuf;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>What goes into a frame.</summary>
public sealed class FrameSizeTests
{
    [Fact]
    public void The_sums_of_the_largest_evaluation_that_a_task_may_have_fit_into_a_head_alone()
    {
        var header = new NodeHeader { LossSum = 1, Weight = long.MinValue };
        header.MetricSums.AddRange(Enumerable.Repeat(1.0, EvaluationForm.MostSums));
        var most = (ulong.MaxValue, int.MinValue);
        AssertFits(new NodeChunk
        {
            Run = most.MaxValue,
            Term = most.MaxValue,
            Generation = most.MaxValue,
            Operation = most.MaxValue,
            WeightsHash = most.MaxValue,
            Rank = most.MinValue,
            Level = most.MinValue,
            Index = most.MinValue,
            Chunk = most.MinValue,
            Header = header,
        });
        AssertFits(new ShardChunk
        {
            Run = most.MaxValue,
            Term = most.MaxValue,
            Generation = most.MaxValue,
            Operation = most.MaxValue,
            Rank = most.MinValue,
            Chunk = most.MinValue,
            Header = header,
        });
    }

    private static void AssertFits(IMessage head) => FrameSize.CheckSent(head.CalculateSize(), 0);
}
