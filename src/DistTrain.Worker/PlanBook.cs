using DistTrain.Core.Planning;
using DistTrain.Core.Runs;

namespace DistTrain.Worker;

/// <summary>The plans of a generation by number. An operation that was handed out before a newer plan still goes by the one it names.</summary>
internal sealed class PlanBook
{
    /// <summary>Most plans kept: the coordinator sends one only with an operation that names it.</summary>
    public const int Limit = 8;

    private readonly SortedDictionary<ulong, BlockPlanTable> _plans = [];

    /// <summary>Keeps a plan.</summary>
    /// <exception cref="WorkerException">There are too many.</exception>
    public void Add(BlockPlanTable plan)
    {
        _plans[plan.Number] = plan;
        if (_plans.Count > Limit)
        {
            throw new WorkerException($"The coordinator sent {_plans.Count} plans that no operation has named: install the same version on both.");
        }
    }

    /// <summary>What each rank computes of an operation. Older plans are forgotten: operations name plans in rising order.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="number">The plan it names.</param>
    /// <exception cref="WorkerException">There is no such plan, or it does not plan for so many blocks.</exception>
    public IReadOnlyList<WorkShare> SharesOf(Operation operation, ulong number)
    {
        if (!_plans.TryGetValue(number, out var plan))
        {
            throw new WorkerException($"Operation {operation.Number} goes by plan {number}, which the coordinator has not sent: install the same version on both.");
        }

        foreach (var older in _plans.Keys.TakeWhile(n => n < number).ToList())
        {
            _plans.Remove(older);
        }

        return plan.Assignments.TryGetValue(operation.Batches.Blocks, out var ranges)
            ? [.. ranges.Select(WorkShare.Of)]
            : throw new WorkerException(
                $"Operation {operation.Number} has {operation.Batches.Blocks} blocks, for which plan {number} says nothing: install the same version on both.");
    }
}
