using DistTrain.Core.Reduction;

namespace DistTrain.Core.Planning;

/// <summary>Consecutive blocks [First, End) of one worker; First == End for a worker without blocks.</summary>
public readonly record struct BlockRange(int First, int End)
{
    /// <summary>How many blocks.</summary>
    public int Count => End - First;
}

/// <summary>What one block and one cover node cost: all the planner knows of a worker.</summary>
/// <param name="SecondsPerBlock">Time to compute one block, above 0.</param>
public readonly record struct WorkerSpeed(double SecondsPerBlock);

/// <summary>
/// Hands out the blocks of an operation. The result decides how long a step takes and nothing else: whatever the assignment, the
/// sum has the same bits.
/// </summary>
/// <remarks>
/// Ranges follow the ranks from left to right. The cuts minimise the time of the slowest worker, predicted as compute plus the exposed
/// exchange of every cover node after the first (ranges aligned to the tree have one), by dynamic programming over cuts that lie near
/// the proportional ones: a bottleneck assignment, exact within that window. Ties go to fewer cover nodes over all.
/// </remarks>
public static class BlockPlanner
{
    private const int Window = 3;

    /// <summary>Plans one operation.</summary>
    /// <param name="blocks">K, the blocks to hand out.</param>
    /// <param name="workers">The members in rank order.</param>
    /// <param name="secondsPerCoverNode">Predicted exposed exchange time of one more cover node, at least 0.</param>
    /// <returns>One range per worker, in rank order: an exact partition of the blocks.</returns>
    public static IReadOnlyList<BlockRange> Plan(int blocks, IReadOnlyList<WorkerSpeed> workers, double secondsPerCoverNode)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blocks, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(workers.Count, 1);
        var tree = new ReductionTree(blocks);
        var cuts = CandidateCuts(blocks, workers);

        // best[c] is the best way to give blocks [0, cuts[rank][c]) to the ranks so far.
        var best = new[] { default(Partial) };
        var from = new int[workers.Count][];
        for (var rank = 0; rank < workers.Count; rank++)
        {
            var (lefts, rights) = (cuts[rank], cuts[rank + 1]);
            var next = new Partial[rights.Length];
            from[rank] = new int[rights.Length];
            for (var right = 0; right < rights.Length; right++)
            {
                next[right] = Partial.Impossible;
                for (var left = 0; left < lefts.Length && lefts[left] <= rights[right]; left++)
                {
                    var nodes = tree.Cover(lefts[left], rights[right]).Count;
                    var seconds = (rights[right] - lefts[left]) * workers[rank].SecondsPerBlock
                        + Math.Max(0, nodes - 1) * secondsPerCoverNode;
                    var candidate = best[left].With(seconds, nodes);
                    if (candidate.IsBetterThan(next[right]))
                    {
                        next[right] = candidate;
                        from[rank][right] = left;
                    }
                }
            }

            best = next;
        }

        var ranges = new BlockRange[workers.Count];
        for (int rank = workers.Count - 1, right = 0; rank >= 0; rank--)
        {
            var left = from[rank][right];
            ranges[rank] = new BlockRange(cuts[rank][left], cuts[rank + 1][right]);
            right = left;
        }

        return ranges;
    }

    /// <summary>For each boundary between ranks, the block numbers near the place that shares the blocks in proportion to speed.</summary>
    private static int[][] CandidateCuts(int blocks, IReadOnlyList<WorkerSpeed> workers)
    {
        var total = workers.Sum(w => 1 / w.SecondsPerBlock);
        var cuts = new int[workers.Count + 1][];
        cuts[0] = [0];
        var speed = 0.0;
        for (var rank = 1; rank < workers.Count; rank++)
        {
            speed += 1 / workers[rank - 1].SecondsPerBlock;
            var ideal = (int)Math.Round(blocks * speed / total);
            var low = Math.Max(0, ideal - Window);
            var high = Math.Min(blocks, ideal + Window);
            cuts[rank] = [.. Enumerable.Range(low, high - low + 1)];
        }

        cuts[workers.Count] = [blocks];
        return cuts;
    }

    private readonly record struct Partial(double Slowest, int Nodes)
    {
        public static Partial Impossible { get; } = new(double.PositiveInfinity, 0);

        public Partial With(double seconds, int nodes) => new(Math.Max(Slowest, seconds), Nodes + nodes);

        public bool IsBetterThan(Partial other) =>
            Slowest < other.Slowest || (Slowest == other.Slowest && Nodes < other.Nodes);
    }
}
