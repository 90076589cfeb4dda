using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <summary>The operations that were handed out and are not completed by every member, in order, with the reports so far.</summary>
internal sealed class OpenOperations
{
    private readonly List<(Operation Operation, Dictionary<int, OperationReport> Reports)> _open = [];

    /// <summary>How many there are.</summary>
    public int Count => _open.Count;

    /// <summary>The operations, in order.</summary>
    public IEnumerable<Operation> All => _open.Select(o => o.Operation);

    /// <summary>Adds the operation that comes next.</summary>
    public void Add(Operation operation) => _open.Add((operation, []));

    /// <summary>Takes a worker's report.</summary>
    /// <returns>An earlier report of the same operation, or the given one where it is the first; null where it fits no open operation.</returns>
    public OperationReport? Take(int worker, OperationReport report)
    {
        var (operation, reports) = _open.FirstOrDefault(o => !o.Reports.ContainsKey(worker));
        if (operation is null || operation.Number != report.Operation)
        {
            return null;
        }

        reports.Add(worker, report);
        return reports.Values.First();
    }

    /// <summary>Takes out the first operation, if every member has completed it.</summary>
    /// <param name="members">The members by rank, at least one.</param>
    /// <returns>The operation and the members' reports by rank; null where one is missing.</returns>
    public (Operation Operation, IReadOnlyList<OperationReport> Reports)? TakeCompleted(IReadOnlyList<int> members)
    {
        if (_open.Count == 0 || _open[0].Reports.Count < members.Count || members.Any(m => !_open[0].Reports.ContainsKey(m)))
        {
            return null;
        }

        var (operation, reports) = _open[0];
        _open.RemoveAt(0);
        return (operation, [.. members.Select(m => reports[m])]);
    }

    /// <summary>Puts others in the place of the operations from one on. What was reported of those in their place is nothing that is asked for any more.</summary>
    public void ReplaceFrom(ulong first, Func<Operation, Operation> with)
    {
        for (var i = 0; i < _open.Count; i++)
        {
            _open[i] = _open[i].Operation.Number < first ? _open[i] : (with(_open[i].Operation), []);
        }
    }

    /// <summary>Takes out the operations from one on.</summary>
    public void RemoveFrom(ulong first) => _open.RemoveAll(o => o.Operation.Number >= first);

    /// <summary>Takes out everything.</summary>
    /// <returns>Operations in order with what reports there are.</returns>
    public IReadOnlyList<(Operation Operation, IReadOnlyList<OperationReport> Reports)> TakeAll()
    {
        IReadOnlyList<(Operation, IReadOnlyList<OperationReport>)> all = [.. _open.Select(o => (o.Operation, (IReadOnlyList<OperationReport>)[.. o.Reports.Values]))];
        _open.Clear();
        return all;
    }
}
