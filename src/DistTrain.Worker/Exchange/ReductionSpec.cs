using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;

namespace DistTrain.Worker.Exchange;

/// <summary>Which nodes each rank sends, and the tree along which they are added.</summary>
/// <param name="Tree">The tree.</param>
/// <param name="Covers">The nodes of each rank; over all ranks an exact partition of the tree's blocks.</param>
internal sealed record ReductionSpec(ReductionTree Tree, IReadOnlyList<IReadOnlyList<NodeId>> Covers)
{
    /// <summary>The canonical reduction of K blocks: bits depend on K only.</summary>
    public static ReductionSpec Canonical(int blocks, IReadOnlyList<WorkShare> shares)
    {
        var tree = new ReductionTree(blocks);
        return new ReductionSpec(tree, [.. shares.Select(s => s.Cover(tree))]);
    }

    /// <summary>
    /// What trainers without a canonical tree do: each worker adds its blocks up, then the workers are added. Bits depend on the number of workers;
    /// this is the control that shows that a comparison of runs can fail (<c>debug.foldPerWorker</c>).
    /// </summary>
    public static ReductionSpec PerWorker(int worldSize)
    {
        var tree = new ReductionTree(worldSize);
        return new ReductionSpec(tree, [.. Enumerable.Range(0, worldSize).Select(r => (IReadOnlyList<NodeId>)[tree.Leaf(r)])]);
    }
}
