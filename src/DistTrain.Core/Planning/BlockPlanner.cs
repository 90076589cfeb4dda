using DistTrain.Core.Reduction;

namespace DistTrain.Core.Planning;

/// <summary>Consecutive blocks [First, End) of one worker; First == End for a worker without blocks.</summary>
public readonly record struct BlockRange(int First, int End)
{
    /// <summary>How many blocks.</summary>
    public int Count => End - First;
}

/// <summary>What the planner knows of a worker.</summary>
/// <param name="SecondsPerBlock">Time to compute one block, finite and above 0.</param>
public readonly record struct WorkerSpeed(double SecondsPerBlock);

/// <summary>
/// Hands out the blocks of an operation. The result decides how long a step takes and nothing else: whatever the
/// assignment, the sum has the same bits.
/// </summary>
/// <remarks>
/// <para>
/// Ranges follow the ranks from left to right. The cuts minimise the time of the slowest worker, predicted as compute
/// plus the exposed exchange of every cover node after the first (ranges aligned to the tree have one), by dynamic
/// programming over the cuts: a contiguous bottleneck partition (chains on chains: A. Pinar, E. K. Tabak, C. Aykanat,
/// "One-dimensional partitioning for heterogeneous systems: theory and practice", JPDC 68, 2008). Between equally fast
/// ways to serve the ranks up to a cut, the one with fewer cover nodes goes on.
/// </para>
/// <para>
/// Up to <see cref="ExactLimit"/> transitions every cut is tried and the result is optimal. Beyond, each boundary tries
/// the cuts near the optimum for free exchange, and the aligned ones on both sides of it as far away as the nodes they
/// can save are worth; the result is then never slower than that optimum plus the exchange of 2 log2 K - 1 nodes. The
/// optimum for free exchange gives each block to the worker that would finish it first, and is at most one block of the
/// slowest worker above K / (sum of speeds).
/// </para>
/// </remarks>
public static class BlockPlanner
{
    /// <summary>Transitions of the exact search, some 10 ms. K = 64 blocks stay exact up to 500 workers.</summary>
    private const long ExactLimit = 1 << 21;

    private const int Window = 3;

    /// <summary>Of workers that nothing is known of, a cover node more costs a tenth of a block: little, but enough to prefer ranges that are aligned to the tree.</summary>
    private const double UnknownCoverNode = 0.1;

    /// <summary>Plans one operation for workers that nothing is known of, as if they were equally fast.</summary>
    /// <param name="blocks">K, the blocks to hand out, as in <see cref="Plan"/>.</param>
    /// <param name="workers">How many workers, at least one.</param>
    public static IReadOnlyList<BlockRange> PlanEqual(int blocks, int workers) => Plan(blocks, [.. Enumerable.Repeat(new WorkerSpeed(1), workers)], UnknownCoverNode);

    /// <summary>Plans one operation.</summary>
    /// <param name="blocks">K, the blocks to hand out, 1..2^<see cref="ReductionTree.MaxLevel"/>.</param>
    /// <param name="workers">The members in rank order, at least one.</param>
    /// <param name="secondsPerCoverNode">
    /// Predicted exposed exchange time of one more cover node, finite and at least 0.
    /// </param>
    /// <returns>One range per worker, in rank order: an exact partition of the blocks.</returns>
    /// <exception cref="ArgumentOutOfRangeException">An argument is outside the ranges above.</exception>
    public static IReadOnlyList<BlockRange> Plan(
        int blocks, IReadOnlyList<WorkerSpeed> workers, double secondsPerCoverNode)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(workers.Count, 1);
        ThrowUnlessFinite(secondsPerCoverNode);
        ArgumentOutOfRangeException.ThrowIfNegative(secondsPerCoverNode);
        foreach (var worker in workers)
        {
            ThrowUnlessFinite(worker.SecondsPerBlock);
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worker.SecondsPerBlock);
        }

        var tree = new ReductionTree(blocks);
        var cuts = (blocks + 1L) * (blocks + 1L) / 2 * workers.Count <= ExactLimit
            ? AllCuts(blocks, workers.Count)
            : NearbyCuts(tree, workers, secondsPerCoverNode);

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
                    var compute = (rights[right] - lefts[left]) * workers[rank].SecondsPerBlock;
                    if (Math.Max(compute, best[left].Slowest) > next[right].Slowest)
                    {
                        continue;
                    }

                    var nodes = tree.CoverCount(lefts[left], rights[right]);
                    var candidate = best[left].With(compute + Math.Max(0, nodes - 1) * secondsPerCoverNode, nodes);
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

    /// <summary>How long an operation is predicted to take.</summary>
    /// <param name="blocks">K.</param>
    /// <param name="ranges">A range for each worker.</param>
    /// <param name="workers">The members in rank order.</param>
    /// <param name="secondsPerCoverNode">See <see cref="Plan"/>.</param>
    /// <returns>The time of the slowest worker.</returns>
    public static double Predict(int blocks, IReadOnlyList<BlockRange> ranges, IReadOnlyList<WorkerSpeed> workers, double secondsPerCoverNode)
    {
        var tree = new ReductionTree(blocks);
        return ranges.Zip(workers, (range, worker) =>
            range.Count * worker.SecondsPerBlock + Math.Max(0, tree.CoverCount(range.First, range.End) - 1) * secondsPerCoverNode).Max();
    }

    /// <summary>The least time of an operation: as long as the slowest worker computes where exchange costs nothing. No plan is predicted to be faster.</summary>
    /// <param name="blocks">K.</param>
    /// <param name="workers">The members in rank order.</param>
    public static double LeastTime(int blocks, IReadOnlyList<WorkerSpeed> workers) =>
        FreeExchangeCounts(blocks, workers).Zip(workers, (count, worker) => count * worker.SecondsPerBlock).Max();

    private static int[][] AllCuts(int blocks, int workers)
    {
        var anywhere = Enumerable.Range(0, blocks + 1).ToArray();
        return [[0], .. Enumerable.Repeat(anywhere, workers - 1), [blocks]];
    }

    /// <summary>For each boundary between ranks, the block numbers worth trying, in rising order.</summary>
    private static int[][] NearbyCuts(
        ReductionTree tree, IReadOnlyList<WorkerSpeed> workers, double secondsPerCoverNode)
    {
        var counts = FreeExchangeCounts(tree.Blocks, workers);

        // A cut moved by more blocks than this costs more compute, even on the fastest worker, than all of a cover's
        // nodes.
        var farthest = 2 * tree.Root.Level * secondsPerCoverNode / workers.Min(w => w.SecondsPerBlock);
        var cuts = new int[workers.Count + 1][];
        cuts[0] = [0];
        cuts[workers.Count] = [tree.Blocks];
        for (int rank = 1, centre = 0; rank < workers.Count; rank++)
        {
            centre += counts[rank - 1];
            var near = new SortedSet<int>(Enumerable.Range(centre - Window, 2 * Window + 1));
            for (var level = 1; level <= tree.Root.Level && 1 << (level - 1) <= farthest; level++)
            {
                var below = centre >> level << level;
                near.Add(below);
                near.Add(Math.Min(below + (1 << level), tree.Blocks));
            }

            cuts[rank] = [.. near.Where(cut => cut >= 0 && cut <= tree.Blocks)];
        }

        return cuts;
    }

    /// <summary>
    /// Blocks per worker where exchange costs nothing: each block goes to the worker that would finish it first, which
    /// is optimal for equal pieces of work on machines of different speeds.
    /// </summary>
    private static int[] FreeExchangeCounts(int blocks, IReadOnlyList<WorkerSpeed> workers)
    {
        var counts = new int[workers.Count];
        var finish = new PriorityQueue<int, (double Seconds, int Rank)>();
        for (var rank = 0; rank < workers.Count; rank++)
        {
            finish.Enqueue(rank, (workers[rank].SecondsPerBlock, rank));
        }

        for (var block = 0; block < blocks; block++)
        {
            var rank = finish.Peek();
            counts[rank]++;
            finish.DequeueEnqueue(rank, ((counts[rank] + 1) * workers[rank].SecondsPerBlock, rank));
        }

        return counts;
    }

    private static void ThrowUnlessFinite(double seconds)
    {
        if (!double.IsFinite(seconds))
        {
            throw new ArgumentOutOfRangeException(nameof(seconds), seconds, "Times must be finite.");
        }
    }

    /// <summary>The ranks so far: the time of the slowest, and the cover nodes of all.</summary>
    private readonly record struct Partial(double Slowest, int Nodes)
    {
        public static Partial Impossible { get; } = new(double.PositiveInfinity, 0);

        public Partial With(double seconds, int nodes) => new(Math.Max(Slowest, seconds), Nodes + nodes);

        public bool IsBetterThan(Partial other) =>
            Slowest < other.Slowest || (Slowest == other.Slowest && Nodes < other.Nodes);
    }
}
