using System.Collections;

namespace DistTrain.Core.Reduction;

/// <summary>
/// What is left of an operation when its workers have changed: the nodes that survivors hold, none of which can be split, and the blocks that nobody
/// holds any more.
/// </summary>
/// <param name="Kept">The nodes of each rank that are used, from the left; no two overlap.</param>
/// <param name="Missing">Blocks that no kept node covers, ascending.</param>
public sealed record Salvage(IReadOnlyList<IReadOnlyList<NodeId>> Kept, IReadOnlyList<int> Missing)
{
    /// <summary>Chooses among nodes that may overlap: the largest first, between equals the lowest rank, then the leftmost.</summary>
    /// <param name="tree">The operation's tree.</param>
    /// <param name="held">The nodes each rank holds; names the tree does not use are passed over.</param>
    public static Salvage Of(ReductionTree tree, IReadOnlyList<IReadOnlyList<NodeId>> held)
    {
        var covered = new BitArray(tree.Blocks);
        var kept = held.Select(_ => new List<NodeId>()).ToArray();
        var offers = held
            .SelectMany((nodes, rank) => nodes.Where(tree.Contains).Select(node => (Rank: rank, Node: node)))
            .OrderByDescending(o => tree.EndBlock(o.Node) - ReductionTree.FirstBlock(o.Node))
            .ThenBy(o => o.Rank)
            .ThenBy(o => o.Node.Index);
        foreach (var (rank, node) in offers)
        {
            var (first, end) = (ReductionTree.FirstBlock(node), tree.EndBlock(node));
            if (Enumerable.Range(first, end - first).Any(block => covered[block]))
            {
                continue;
            }

            for (var block = first; block < end; block++)
            {
                covered[block] = true;
            }

            kept[rank].Add(node);
        }

        return new Salvage(
            [.. kept.Select(nodes => (IReadOnlyList<NodeId>)[.. nodes.OrderBy(ReductionTree.FirstBlock)])],
            [.. Enumerable.Range(0, tree.Blocks).Where(block => !covered[block])]);
    }
}
