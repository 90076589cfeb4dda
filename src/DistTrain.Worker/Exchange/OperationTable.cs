namespace DistTrain.Worker.Exchange;

/// <summary>
/// The all-reduce in progress. A peer may be one operation ahead, never more: what it sends of the next operation waits here until this worker
/// has begun it, and flow control holds the peer back meanwhile.
/// </summary>
internal sealed class OperationTable
{
    private readonly Lock _lock = new();
    private AllReduce? _current;
    private TaskCompletionSource<AllReduce> _next = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Exception? _closed;

    /// <summary>Makes an all-reduce the current one.</summary>
    public void Begin(AllReduce operation)
    {
        TaskCompletionSource<AllReduce> waiting;
        lock (_lock)
        {
            _current = operation;
            waiting = _next;
            _next = new(TaskCreationOptions.RunContinuationsAsynchronously);
            if (_closed is not null)
            {
                operation.Abandon(_closed);
            }
        }

        waiting.TrySetResult(operation);
    }

    /// <summary>The all-reduce that a message belongs to.</summary>
    /// <returns>Null for an operation that is over, or that cannot have begun anywhere.</returns>
    public async ValueTask<AllReduce?> FindAsync(ulong number, CancellationToken cancellation)
    {
        Task<AllReduce> next;
        lock (_lock)
        {
            if (_current is not null && number == _current.Operation)
            {
                return _current;
            }

            if (_current is not null && number != _current.Operation + 1)
            {
                return null;
            }

            next = _next.Task;
        }

        var begun = await next.WaitAsync(cancellation);
        return begun.Operation == number ? begun : null;
    }

    /// <summary>Ends every wait, now and later.</summary>
    public void Close(Exception reason)
    {
        lock (_lock)
        {
            _closed ??= reason;
            _current?.Abandon(_closed);
        }

        _next.TrySetException(reason);
        _ = _next.Task.Exception;
    }
}
