namespace DistTrain.Core.Reduction;

/// <summary>
/// The name of a node of the reduction tree: the sum of blocks [Index * 2^Level, (Index + 1) * 2^Level), as far as they
/// exist.
/// </summary>
/// <param name="Level">Height above the blocks; a single block is level 0.</param>
/// <param name="Index">Place within the level, from the left.</param>
public readonly record struct NodeId(int Level, int Index)
{
    /// <summary>The node one level up.</summary>
    public NodeId Parent => new(Level + 1, Index >> 1);

    /// <summary>The other child of <see cref="Parent"/>.</summary>
    public NodeId Sibling => new(Level, Index ^ 1);

    /// <summary>Whether this node is the left summand of its parent.</summary>
    public bool IsLeft => (Index & 1) == 0;

    /// <inheritdoc/>
    public override string ToString() => $"({Level},{Index})";
}
