using System.Threading.Tasks.Sources;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>Wakes its one waiter, without an allocation. A signal that nobody waits for is kept, once.</summary>
/// <param name="runsInline">Whether the waiter goes on within <see cref="Set"/>, which saves the way over another thread.</param>
internal sealed class AsyncSignal(bool runsInline) : IValueTaskSource
{
    private readonly Lock _lock = new();
    private ManualResetValueTaskSourceCore<bool> _core = new() { RunContinuationsAsynchronously = !runsInline };
    private CancellationTokenRegistration _registration;
    private bool _isSet;
    private bool _isWaiting;

    /// <summary>Waits for the next signal.</summary>
    public ValueTask WaitAsync(CancellationToken cancellation)
    {
        lock (_lock)
        {
            if (_isSet)
            {
                _isSet = false;
                return ValueTask.CompletedTask;
            }

            _core.Reset();
            _isWaiting = true;
        }

        _registration = cancellation.UnsafeRegister(static (signal, token) => ((AsyncSignal)signal!).Cancel(token), this);
        return new ValueTask(this, _core.Version);
    }

    /// <summary>Wakes the waiter, or whoever comes next.</summary>
    public void Set()
    {
        lock (_lock)
        {
            _isSet = !_isWaiting;
            if (!_isWaiting)
            {
                return;
            }

            _isWaiting = false;
        }

        _core.SetResult(true);
    }

    void IValueTaskSource.GetResult(short token)
    {
        _registration.Dispose();
        _core.GetResult(token);
    }

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private void Cancel(CancellationToken token)
    {
        lock (_lock)
        {
            if (!_isWaiting)
            {
                return;
            }

            _isWaiting = false;
        }

        _core.SetException(new OperationCanceledException(token));
    }
}
