using DistTrain.Core.Planning;

namespace DistTrain.Core.Runs;

/// <summary>Which blocks each rank computes, for every number of blocks in use.</summary>
/// <param name="Number">Raised with every new plan of a run.</param>
/// <param name="Assignments">From K to one range per rank.</param>
public sealed record BlockPlanTable(ulong Number, IReadOnlyDictionary<int, IReadOnlyList<BlockRange>> Assignments)
{
    /// <summary>Plans for the numbers of blocks that occur.</summary>
    public static BlockPlanTable Create(
        ulong number, IEnumerable<int> blockCounts, IReadOnlyList<WorkerSpeed> workers, double secondsPerCoverNode) =>
        new(number, blockCounts.ToDictionary(k => k, k => BlockPlanner.Plan(k, workers, secondsPerCoverNode)));
}
