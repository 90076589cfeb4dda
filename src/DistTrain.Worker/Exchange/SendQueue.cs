using DistTrain.Worker.Exchange.Links;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// What is to be sent on a call, in order. Anybody adds, one sender takes. Waiting allocates nothing, as that of a channel's reader would, once for each chunk that comes alone.
/// </summary>
/// <remarks>It holds what an operation sends at most, as nobody sends of the next one before this one is whole.</remarks>
internal sealed class SendQueue<T>
    where T : struct
{
    private readonly Lock _lock = new();
    private readonly Queue<T> _waiting = [];
    private readonly AsyncSignal _added = new(runsInline: false);

    /// <summary>Adds one.</summary>
    public void Add(T send)
    {
        lock (_lock)
        {
            _waiting.Enqueue(send);
        }

        _added.Set();
    }

    /// <summary>Takes the next one, if there is one.</summary>
    public bool TryTake(out T send)
    {
        lock (_lock)
        {
            return _waiting.TryDequeue(out send);
        }
    }

    /// <summary>Waits until one was added since somebody last waited. That one may be taken already.</summary>
    public ValueTask AddedAsync(CancellationToken cancellation) => _added.WaitAsync(cancellation);
}
