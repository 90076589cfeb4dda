using DistTrain.Core.Runs;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Exchange;
using NodeHeader = DistTrain.Core.Reduction.NodeHeader;

namespace DistTrain.Worker.Healing;

/// <summary>The joiners that a member feeds. Feeds begin while the state stands still, and are told before it changes.</summary>
/// <param name="replica">The state.</param>
internal sealed class StateFeeds(Replica replica) : IDisposable
{
    private readonly SemaphoreSlim _changing = new(1);
    private readonly List<StateFeed> _feeds = [];
    private bool _isClosed;

    /// <summary>Begins a feed, between two changes of the state.</summary>
    /// <param name="applied">The last operation that the state contains, asked while it stands still.</param>
    /// <exception cref="InvalidOperationException">This state is not gone on with.</exception>
    public async Task<StateFeed> OpenAsync(Func<ulong> applied)
    {
        await _changing.WaitAsync();
        try
        {
            if (_isClosed)
            {
                throw new InvalidOperationException("this worker does not go on with its state");
            }

            var feed = new StateFeed(replica, applied());
            _feeds.RemoveAll(f => f.IsOver);
            _feeds.Add(feed);
            return feed;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>An operation begins: the state is going to change at its end.</summary>
    /// <returns>Whether somebody is fed.</returns>
    public async Task<bool> ExpectChangeAsync()
    {
        await _changing.WaitAsync();
        try
        {
            _feeds.RemoveAll(f => f.IsOver);
            _feeds.ForEach(f => f.Reserve());
            return _feeds.Count > 0;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Changes the state. On the compute thread.</summary>
    public T Change<T>(Func<T> change)
    {
        _changing.Wait();
        try
        {
            _feeds.ForEach(f => f.Detach());
            return change();
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Tells of an operation that was applied. Within its change.</summary>
    public void Add(Operation operation, NodeHeader header, ReducedVector reduced) => _feeds.RemoveAll(feed => !feed.Add(operation, header, reduced));

    /// <summary>Ends all feeds, and lets no other begin until told otherwise: from here on nobody reads the state.</summary>
    public async Task CloseAsync()
    {
        await _changing.WaitAsync();
        CloseAll();
        _changing.Release();
    }

    /// <summary>The state is one to go on from after all: it may be fed from again.</summary>
    public void Reopen()
    {
        _changing.Wait();
        _isClosed = false;
        _changing.Release();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _changing.Wait();
        CloseAll();
        _changing.Release();
    }

    private void CloseAll()
    {
        _isClosed = true;
        _feeds.ForEach(f => f.Close("the source does not go on with its state"));
        _feeds.Clear();
    }
}
