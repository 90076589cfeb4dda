using DistTrain.Core.Batches;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;

namespace DistTrain.Plans;

/// <summary>What one rank does in one step.</summary>
/// <param name="Rank">Its number.</param>
/// <param name="Blocks">Its blocks.</param>
/// <param name="MicroBatches">How many forward and backward passes.</param>
/// <param name="Samples">How many samples.</param>
/// <param name="Cover">The nodes of the reduction tree it sends.</param>
internal sealed record RankPlan(int Rank, BlockRange Blocks, long MicroBatches, long Samples, IReadOnlyList<NodeId> Cover);

/// <summary>One step cut up for a number of equally fast workers.</summary>
/// <param name="Batch">Micro-batches and blocks: the same for any number of workers.</param>
/// <param name="Ranks">Who computes what.</param>
internal sealed record StepPlan(BatchPlan Batch, IReadOnlyList<RankPlan> Ranks)
{
    /// <summary>Plans a step.</summary>
    public static StepPlan Of(long samples, BatchGeometry geometry, int workers)
    {
        var batch = new BatchPlan(samples, geometry);
        var tree = new ReductionTree(batch.Blocks);
        var ranges = BlockPlanner.PlanEqual(batch.Blocks, workers);
        return new StepPlan(batch, [.. ranges.Select((range, rank) =>
        {
            var micro = range.Count == 0
                ? default
                : new IndexRange(batch.Block(range.First).First, batch.Block(range.End - 1).End - batch.Block(range.First).First);
            var used = micro.Count == 0 ? 0 : batch.MicroBatch(micro.End - 1).End - batch.MicroBatch(micro.First).First;
            return new RankPlan(rank, range, micro.Count, used, tree.Cover(range.First, range.End));
        })]);
    }
}
