using DistTrain.Core.Reduction;

namespace DistTrain.Core.Planning;

/// <summary>One rank's part of one operation.</summary>
/// <param name="Held">Nodes it holds already, and contributes as they are.</param>
/// <param name="Compute">Blocks it computes, ascending and apart from each other.</param>
public sealed record WorkShare(IReadOnlyList<NodeId> Held, IReadOnlyList<BlockRange> Compute)
{
    /// <summary>The share of a rank that computes one range.</summary>
    public static WorkShare Of(BlockRange range) => new([], [range]);

    /// <summary>The block it computes after another one; null after the last.</summary>
    /// <param name="block">A block, -1 for none: then it is the first.</param>
    public int? BlockAfter(int block)
    {
        for (var i = 0; i < Compute.Count; i++)
        {
            if (Compute[i].End > Math.Max(Compute[i].First, block + 1))
            {
                return Math.Max(Compute[i].First, block + 1);
            }
        }

        return null;
    }

    /// <summary>The nodes the rank sends: what it holds, and the cover of what it computes.</summary>
    public IReadOnlyList<NodeId> Cover(ReductionTree tree) => [.. Held, .. Compute.SelectMany(range => tree.Cover(range.First, range.End))];

    /// <summary>The shares of an operation whose workers have changed: kept nodes stay where they are, missing blocks are given out by speed.</summary>
    /// <param name="salvage">What is left.</param>
    /// <param name="workers">The members in rank order.</param>
    /// <param name="secondsPerCoverNode">See <see cref="BlockPlanner.Plan"/>.</param>
    public static IReadOnlyList<WorkShare> Recover(Salvage salvage, IReadOnlyList<WorkerSpeed> workers, double secondsPerCoverNode)
    {
        var missing = salvage.Missing;
        var cuts = missing.Count == 0
            ? [.. workers.Select(_ => new BlockRange(0, 0))]
            : BlockPlanner.Plan(missing.Count, workers, secondsPerCoverNode);
        return [.. cuts.Select((cut, rank) => new WorkShare(salvage.Kept[rank], Runs(missing, cut)))];
    }

    /// <summary>Part of a list of blocks as ranges.</summary>
    private static List<BlockRange> Runs(IReadOnlyList<int> blocks, BlockRange part)
    {
        var runs = new List<BlockRange>();
        for (var i = part.First; i < part.End; i++)
        {
            if (runs.Count > 0 && runs[^1].End == blocks[i])
            {
                runs[^1] = runs[^1] with { End = blocks[i] + 1 };
            }
            else
            {
                runs.Add(new BlockRange(blocks[i], blocks[i] + 1));
            }
        }

        return runs;
    }
}
