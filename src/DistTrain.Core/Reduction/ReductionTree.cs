using System.Numerics;

namespace DistTrain.Core.Reduction;

/// <summary>
/// The canonical order in which the blocks of a step are added: the aligned binary tree over block numbers. It depends
/// on the number of blocks only, so any assignment of blocks to workers gives the same bits.
/// </summary>
/// <remarks>
/// <code>
/// K = 6        (3,0)                      root, level ceil(log2 K)
///            /       \
///        (2,0)       (2,1) = (1,2)        a node with no right child is its left child, and is named by
///        /   \        /                   the highest level that covers the same blocks
///     (1,0) (1,1)  (1,2)
///     0  1   2  3   4  5                  blocks
/// </code>
/// </remarks>
public readonly record struct ReductionTree
{
    /// <summary>The deepest tree anything in the project accepts: 2^20 blocks.</summary>
    public const int MaxLevel = 20;

    /// <summary>The tree over a number of blocks.</summary>
    /// <param name="blocks">K, 1..2^<see cref="MaxLevel"/>.</param>
    public ReductionTree(int blocks)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blocks, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(blocks, 1 << MaxLevel);
        Blocks = blocks;
        Root = new NodeId(32 - BitOperations.LeadingZeroCount((uint)blocks - 1), 0);
    }

    /// <summary>K, the number of blocks.</summary>
    public int Blocks { get; }

    /// <summary>The node that covers every block.</summary>
    public NodeId Root { get; }

    /// <summary>The first block of a node.</summary>
    public static int FirstBlock(NodeId node) => node.Index << node.Level;

    /// <summary>One past the last block of a node; the ragged edge ends at K.</summary>
    public int EndBlock(NodeId node) => (int)Math.Min((long)(node.Index + 1) << node.Level, Blocks);

    /// <summary>The canonical name of a single block.</summary>
    /// <param name="block">0..K-1.</param>
    public NodeId Leaf(int block)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(block);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(block, Blocks);
        return Canonical(new NodeId(0, block));
    }

    /// <summary>
    /// Whether a name is one the tree uses: within the tree and of the highest level that covers the same blocks.
    /// </summary>
    public bool Contains(NodeId node) =>
        node.Level >= 0 && node.Level <= Root.Level && node.Index >= 0
        && (long)node.Index << node.Level < Blocks
        && Canonical(node) == node;

    /// <summary>The name under which the sum of a node's blocks travels.</summary>
    public NodeId Canonical(NodeId node)
    {
        while (node.Level < Root.Level && node.IsLeft && FirstBlock(node.Sibling) >= Blocks)
        {
            node = node.Parent;
        }

        return node;
    }

    /// <summary>
    /// The cover of a range of blocks: the fewest nodes that together hold exactly these blocks, from the left. These
    /// are the nodes that a worker which computed the range can complete alone, and sends. At most 2 log2 K, and at
    /// most log2 K + 1 for a range from block 0.
    /// </summary>
    /// <param name="first">The first block.</param>
    /// <param name="end">
    /// One past the last block; equal to <paramref name="first"/> for a worker without blocks.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">Not 0 &lt;= first &lt;= end &lt;= K.</exception>
    public IReadOnlyList<NodeId> Cover(int first, int end)
    {
        var cover = new List<NodeId>(CoverCount(first, end));
        for (var limit = Limit(end); first < end; first += 1 << cover[^1].Level)
        {
            var level = WidestLevel(first, limit);
            cover.Add(new NodeId(level, first >> level));
        }

        return cover;
    }

    /// <summary>The number of nodes in <see cref="Cover"/>, without listing them.</summary>
    public int CoverCount(int first, int end)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first, end);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(end, Blocks);
        var count = 0;
        for (var limit = Limit(end); first < end; first += 1 << WidestLevel(first, limit))
        {
            count++;
        }

        return count;
    }

    /// <summary>
    /// How far a node of the cover may reach: past K there are no blocks, so at the ragged edge it may reach as far as
    /// the tree does. The widest node that fits is therefore the canonical one.
    /// </summary>
    private int Limit(int end) => end == Blocks ? 1 << Root.Level : end;

    /// <summary>The level of the widest aligned node that starts at a block and ends within a limit.</summary>
    private static int WidestLevel(int first, int limit) =>
        Math.Min(BitOperations.TrailingZeroCount(first), BitOperations.Log2((uint)(limit - first)));
}
