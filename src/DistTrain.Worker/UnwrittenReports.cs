using DistTrain.Core.Membership;

namespace DistTrain.Worker;

/// <summary>
/// What this worker has reported and the coordinator may not have written down for good: told again to one that starts anew. A worker that is too far ahead of the
/// coordinator's disk waits.
/// </summary>
internal sealed class UnwrittenReports
{
    /// <summary>How many reports may be unwritten before the worker waits.</summary>
    public const int Most = 64;

    private readonly Lock _lock = new();
    private readonly Queue<OperationReport> _reports = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The reports, in order; the last one stays, because another worker may be one operation behind.</summary>
    public IReadOnlyList<OperationReport> All
    {
        get
        {
            lock (_lock)
            {
                return [.. _reports];
            }
        }
    }

    /// <summary>Adds a report.</summary>
    public void Add(OperationReport report)
    {
        lock (_lock)
        {
            _reports.Enqueue(report);
        }
    }

    /// <summary>Forgets what is written down, up to an operation.</summary>
    public void Forget(ulong written)
    {
        TaskCompletionSource changed;
        lock (_lock)
        {
            while (_reports.Count > 1 && _reports.Peek().Operation <= written)
            {
                _reports.Dequeue();
            }

            changed = _changed;
            _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        changed.SetResult();
    }

    /// <summary>Forgets everything: the state is another one.</summary>
    public void Clear()
    {
        lock (_lock)
        {
            _reports.Clear();
        }
    }

    /// <summary>Waits until one more report may be added. It ends with the generation where the coordinator says nothing any more.</summary>
    public async Task RoomAsync(CancellationToken cancellation)
    {
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (_reports.Count < Most)
                {
                    return;
                }

                changed = _changed.Task;
            }

            await changed.WaitAsync(cancellation);
        }
    }
}
