using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>One shard's slice of a node on its way to the root, with the generation in which it was sent.</summary>
internal sealed record Slice(Gradient Sum, ulong Generation);

/// <summary>
/// One operation's all-reduce as one rank sees it: it sends every other rank that one's slice of its nodes, adds up the slices of its own shard, sends the sum to all,
/// and is whole when every owner's shard is there.
/// </summary>
internal sealed class SimulatedAllReduce
{
    private readonly SimulatedRun _run;
    private readonly SimulatedWorker _worker;
    private readonly TreeFold<Slice> _fold;
    private readonly HashSet<NodeId> _taken = [];
    private readonly Gradient?[] _shards;

    public SimulatedAllReduce(
        SimulatedRun run, SimulatedWorker worker, SimulatedGeneration generation, IssuedOperation issued, ulong weights, SimulatedAllReduce? earlier)
    {
        (_run, _worker, Generation, Issued, Weights) = (run, worker, generation, issued, weights);
        Tree = run.Canonical.Tree(issued.Number);
        _shards = new Gradient?[generation.WorldSize];
        Missing = generation.WorldSize;
        _fold = run.Case.Bug == PlantedBug.StalePartialFoldKept && earlier is not null && earlier.Number == issued.Number
            ? earlier._fold
            : new TreeFold<Slice>(Tree, Add);
    }

    public SimulatedGeneration Generation { get; }

    public IssuedOperation Issued { get; }

    public Operation Operation => Issued.Issue.Operation;

    public ulong Number => Issued.Number;

    public ReductionTree Tree { get; }

    /// <summary>The weights all nodes are computed from.</summary>
    public ulong Weights { get; }

    /// <summary>How many owners' shards are not there.</summary>
    public int Missing { get; private set; }

    public bool IsWhole => Missing == 0;

    /// <summary>Whether the own shard is reduced.</summary>
    public bool IsOwnDone => _shards[Generation.Rank] is not null;

    /// <summary>What each owner sent; null for what is missing.</summary>
    public IReadOnlyList<Gradient?> Shards => _shards;

    /// <summary>The whole vector, which is one sum only where all its shards are.</summary>
    public Gradient Result
    {
        get
        {
            var result = _shards[0] ?? Gradient.OfBlock(Weights, Operation, -1);
            for (var owner = 1; owner < _shards.Length; owner++)
            {
                result = _shards[owner]?.Bits == result.Bits ? result : Gradient.Add(result, _shards[owner] ?? Gradient.OfBlock(Weights, Operation, -1));
            }

            return result;
        }
    }

    /// <summary>Takes a node that this worker completed.</summary>
    public void Offer(NodeId node, Gradient sum)
    {
        _run.Invariants.NothingIsSentAhead(_worker, Number);
        Generation.SendNode(new NodeMessage(Number, Weights, node, sum));
        TakeNode(Generation.Rank, new NodeMessage(Number, Weights, node, sum));
    }

    /// <summary>Whether a node is none that the plan assigns to a rank and that has not come yet.</summary>
    public bool Refuses(int rank, NodeMessage message) =>
        message.Operation == Number && (message.Weights != Weights || _taken.Contains(message.Node) || !Issued.Covers[rank].Contains(message.Node));

    /// <summary>Takes the slice of the own shard of some rank's node.</summary>
    public void TakeNode(int rank, NodeMessage message)
    {
        _run.Invariants.OwnersAreNotAheadOfTheirApply(_worker, Number);
        _run.Invariants.OwnersGetExactlyThePlan(this, rank, message, isFirst: _taken.Add(message.Node));
        _run.Invariants.PartialFoldsAreDiscarded(this, _fold, message.Node);
        var (node, slice) = _fold.Add(message.Node, new Slice(message.Sum, Generation.Tag.Generation));
        if (node == Tree.Root)
        {
            _run.Invariants.SumsAreThoseOfTheTree(this, slice.Sum);
            _run.Invariants.NothingIsSentAhead(_worker, Number);
            Generation.SendShard(new ShardMessage(Number, slice.Sum));
            TakeShard(Generation.Rank, slice.Sum);
        }
    }

    /// <summary>Takes an owner's shard.</summary>
    public void TakeShard(int owner, Gradient sum)
    {
        _run.Invariants.ShardsComeOnce(this, owner);
        _shards[owner] = sum;
        Missing--;
        _run.Scheduler.Wake(_worker.Executor);
    }

    private Slice Add(Slice left, Slice right)
    {
        _run.Invariants.PartialFoldsAreDiscarded(left, right);
        return new Slice(Gradient.Add(left.Sum, right.Sum), left.Generation);
    }
}
