using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Simulation;

/// <content>The rules of one operation: who sends and adds up what, and when it is applied.</content>
internal sealed partial class Invariants
{
    /// <summary>3.7a and b: nothing of the state changes before a reduced-shard message of every member is in hand.</summary>
    public void NothingChangesBeforeTheStepIsWhole(SimulatedWorker worker, SimulatedAllReduce reduction)
    {
        for (var owner = 0; owner < reduction.Shards.Count; owner++)
        {
            if (reduction.Shards[owner] is null)
            {
                throw Broken($"worker {worker.Number} applies operation {reduction.Number} without the shard of rank {owner}");
            }
        }
    }

    /// <summary>3.8: what the rate follows is known when a step is handed out: it is the same whenever that is, and so it is written down.</summary>
    public void RatesAreThoseOfTheRun(Operation operation)
    {
        var expected = run.Canonical.Operation(operation.Number);
        if ((operation.LearningRate, operation.Gain) != (expected.LearningRate, expected.Gain))
        {
            throw Broken($"operation {operation.Number} has the rate {operation.LearningRate:R} and the gain {operation.Gain:R}, not {expected.LearningRate:R} and {expected.Gain:R}");
        }
    }

    /// <summary>3.7b: a worker applies every step once, and is never more than one ahead of another member.</summary>
    public void StepsAreAppliedOnce(SimulatedWorker worker, SimulatedAllReduce reduction)
    {
        if (reduction.Number != worker.Executor.Applied + 1)
        {
            throw Broken($"worker {worker.Number} has applied {worker.Executor.Applied} and applies {reduction.Number}");
        }

        foreach (var member in _views[reduction.Generation.Tag.Generation].Members)
        {
            if (member.Executor.Applied + 1 < reduction.Number && member.Generation is { IsOver: false } own && own.Tag == reduction.Generation.Tag)
            {
                throw Broken($"worker {worker.Number} applies {reduction.Number} when worker {member.Number} has applied {member.Executor.Applied}");
            }
        }
    }

    /// <summary>3.7b: a worker sends nothing of step k+1, node or shard, before it has applied k.</summary>
    public void NothingIsSentAhead(SimulatedWorker worker, ulong operation)
    {
        if (operation > worker.Executor.Applied + 1)
        {
            throw Broken($"worker {worker.Number} sends something of operation {operation} and has applied {worker.Executor.Applied}");
        }
    }

    /// <summary>3.7b: as an owner, too, a worker goes on to k+1 only when it has applied k itself.</summary>
    public void OwnersAreNotAheadOfTheirApply(SimulatedWorker worker, ulong operation)
    {
        if (operation > worker.Executor.Applied + 1)
        {
            throw Broken($"worker {worker.Number} adds up operation {operation} and has applied {worker.Executor.Applied}");
        }
    }

    /// <summary>3.7b: skew is at most one operation, so nobody is sent something of the one after the next.</summary>
    public void NobodyIsTwoAhead(SimulatedWorker worker, ulong operation, SimulatedAllReduce? current)
    {
        if (current is not null && operation != current.Number + 1)
        {
            throw Broken($"worker {worker.Number} is at operation {current.Number} and is sent something of {operation}");
        }
    }

    /// <summary>Reconfiguration: what is handed out is the next operation, or the last one again for members that missed its sum.</summary>
    public void OperationsComeInOrder(SimulatedWorker worker, ulong operation)
    {
        if (operation != worker.Executor.Applied + 1 && operation != worker.Executor.Applied)
        {
            throw Broken($"worker {worker.Number} has applied {worker.Executor.Applied} and is given {operation}");
        }
    }

    /// <summary>3.4: whatever the workers, a sum is that of the canonical tree.</summary>
    public void SumsAreThoseOfTheTree(SimulatedAllReduce reduction, Gradient sum)
    {
        var isOver = reduction.Generation.Tag.Generation < _cutUpAnew.Generation && reduction.Number >= _cutUpAnew.Operation;
        if (!isOver && sum.Bits != run.Canonical.Root(reduction.Number).Bits)
        {
            throw Broken($"operation {reduction.Number} was added up as {sum}, not as {run.Canonical.Root(reduction.Number)}");
        }
    }

    /// <summary>Reconfiguration: the blocks of an operation are partitioned exactly: nobody contributes what another does.</summary>
    public void NoBlockIsContributedTwice(SimulatedAllReduce reduction, SimulatedWorker worker, NodeId node)
    {
        var contribution = _views[reduction.Generation.Tag.Generation].ContributionTo(reduction.Number);
        var blocks = Blocks(reduction.Tree, node);
        if ((contribution.Blocks & blocks) != 0)
        {
            throw Broken($"worker {worker.Number} contributes node {node} of operation {reduction.Number}, blocks of which came from another");
        }

        contribution.Blocks |= blocks;
    }

    /// <summary>Reconfiguration: the blocks of an operation are partitioned exactly: when all have contributed, all are there.</summary>
    public void EveryBlockIsContributed(SimulatedAllReduce reduction)
    {
        var view = _views[reduction.Generation.Tag.Generation];
        var contribution = view.ContributionTo(reduction.Number);
        if (++contribution.Members == view.Members.Count && contribution.Blocks != Blocks(reduction.Tree, reduction.Tree.Root))
        {
            throw Broken($"all members have contributed to operation {reduction.Number} what they were told to, and blocks are missing: {contribution.Blocks:b}");
        }
    }

    /// <summary>Reconfiguration: only blocks that nobody holds are given out again.</summary>
    public void OnlyWhatNobodyHoldsIsComputed(SimulatedAllReduce reduction, int block)
    {
        var view = _views[reduction.Generation.Tag.Generation];
        if (reduction.Number <= view.Highest || (reduction.Number == view.Highest + 1 && (view.Held >> block & 1) != 0))
        {
            throw Broken($"block {block} of operation {reduction.Number} is computed in generation {view.Number}, a member of which holds it");
        }
    }

    /// <summary>Reconfiguration: an owner accepts exactly the nodes the plan assigns, computed from its own weights.</summary>
    public void OwnersGetExactlyThePlan(SimulatedAllReduce reduction, int rank, NodeMessage message, bool isFirst)
    {
        var isPlanned = false;
        foreach (var node in reduction.Issued.Covers[rank])
        {
            isPlanned |= node == message.Node;
        }

        if (!isFirst || !isPlanned || message.Weights != reduction.Weights)
        {
            throw Broken($"an owner in operation {reduction.Number} gets node {message.Node} of rank {rank}, which is not in its plan, or came before, or is of other weights");
        }
    }

    /// <summary>Reconfiguration: owners discard partial folds and partly received roots: they begin every generation with nothing.</summary>
    public void PartialFoldsAreDiscarded(SimulatedAllReduce reduction, TreeFold<Slice> fold, NodeId node)
    {
        if (fold.Waiting.ContainsKey(node) || fold.Waiting.ContainsKey(reduction.Tree.Root))
        {
            throw Broken($"node {node} of operation {reduction.Number} comes to an owner that has it from an earlier generation");
        }
    }

    /// <summary>The same: what an owner adds up was sent in one generation.</summary>
    public void PartialFoldsAreDiscarded(Slice left, Slice right)
    {
        if (left.Generation != right.Generation)
        {
            throw Broken($"a slice sent in generation {left.Generation} is added to one of generation {right.Generation}");
        }
    }

    /// <summary>3.7b: every owner sends its shard once.</summary>
    public void ShardsComeOnce(SimulatedAllReduce reduction, int owner)
    {
        if (reduction.Shards[owner] is not null)
        {
            throw Broken($"the shard of rank {owner} in operation {reduction.Number} came twice");
        }
    }

    private static ulong Blocks(ReductionTree tree, NodeId node)
    {
        var (first, end) = (ReductionTree.FirstBlock(node), tree.EndBlock(node));
        return (end - first == SimulationCase.MaxBlocks ? ulong.MaxValue : (1UL << (end - first)) - 1) << first;
    }
}
