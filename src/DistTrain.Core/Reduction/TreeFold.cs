namespace DistTrain.Core.Reduction;

/// <summary>
/// Adds nodes along the canonical tree in whatever order they become ready: a node waits until its sibling is there,
/// then the parent is left child + right child, and so on up. Because each parent has one way to arise, the sum's bits
/// do not depend on the order of arrival.
/// </summary>
/// <remarks>
/// A worker folds the blocks it computes and finds its cover nodes left over; the owner of a shard folds what all
/// workers send and ends with the root. Not safe for concurrent use.
/// </remarks>
/// <typeparam name="T">What a node holds; the caller decides what addition means and who owns the memory.</typeparam>
/// <param name="tree">The step's tree.</param>
/// <param name="add">Left, right -> sum. It may reuse either argument's memory: neither is touched again.</param>
public sealed class TreeFold<T>(ReductionTree tree, Func<T, T, T> add)
{
    private readonly Dictionary<NodeId, T> _waiting = [];

    /// <summary>Nodes that wait for their sibling, or the root.</summary>
    public IReadOnlyDictionary<NodeId, T> Waiting => _waiting;

    /// <summary>Adds one node and everything its arrival completes.</summary>
    /// <param name="node">
    /// A node of the tree by its canonical name. That none overlaps another is the caller's duty: a fold remembers only
    /// what waits.
    /// </param>
    /// <param name="value">Its sum.</param>
    /// <returns>The highest node that is complete now, and its sum; it is the root when the fold is done.</returns>
    /// <exception cref="ArgumentException">The name is not one the tree uses; its sibling would never come.</exception>
    /// <exception cref="InvalidOperationException">
    /// The node, or the parent it completes, is waiting already.
    /// </exception>
    public (NodeId Node, T Value) Add(NodeId node, T value)
    {
        if (!tree.Contains(node))
        {
            throw new ArgumentException($"The tree over {tree.Blocks} blocks has no node {node}.", nameof(node));
        }

        while (node != tree.Root && _waiting.Remove(node.Sibling, out var sibling))
        {
            value = node.IsLeft ? add(value, sibling) : add(sibling, value);
            node = tree.Canonical(node.Parent);
        }

        if (!_waiting.TryAdd(node, value))
        {
            throw new InvalidOperationException($"Node {node} was added twice.");
        }

        return (node, value);
    }

    /// <summary>Forgets what waits.</summary>
    public void Clear() => _waiting.Clear();

    /// <summary>Takes a node out that waits, such as a cover node that is about to be sent, or the root.</summary>
    /// <param name="node">Its canonical name.</param>
    /// <param name="value">Its sum, where it waits.</param>
    /// <returns>Whether it was waiting.</returns>
    public bool Take(NodeId node, out T? value) => _waiting.Remove(node, out value);
}
