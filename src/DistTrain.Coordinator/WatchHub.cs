using System.Runtime.CompilerServices;
using System.Threading.Channels;
using DistTrain.Protocol.V1;

namespace DistTrain.Coordinator;

/// <summary>
/// Hands what happens to everyone who watches. A watcher that comes late is told the newest state first; one that is slow loses old
/// steps, never the end.
/// </summary>
internal sealed class WatchHub
{
    private const int Backlog = 1024;
    private readonly Lock _lock = new();
    private readonly List<Channel<RunEvent>> _watchers = [];
    private readonly Dictionary<RunEvent.BodyOneofCase, RunEvent> _newest = [];
    private bool _ended;

    /// <summary>Tells everyone.</summary>
    public void Publish(RunEvent happened)
    {
        lock (_lock)
        {
            _newest[happened.BodyCase] = happened;
            foreach (var watcher in _watchers)
            {
                watcher.Writer.TryWrite(happened);
            }

            if (happened.BodyCase == RunEvent.BodyOneofCase.Finished)
            {
                _ended = true;
                _watchers.ForEach(w => w.Writer.TryComplete());
            }
        }
    }

    /// <summary>The newest state, then everything until the run is finished.</summary>
    public async IAsyncEnumerable<RunEvent> WatchAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        var channel = Channel.CreateBounded<RunEvent>(new BoundedChannelOptions(Backlog) { FullMode = BoundedChannelFullMode.DropOldest });
        lock (_lock)
        {
            foreach (var (_, happened) in _newest.OrderBy(n => n.Key))
            {
                channel.Writer.TryWrite(happened);
            }

            _watchers.Add(channel);
            if (_ended)
            {
                channel.Writer.TryComplete();
            }
        }

        try
        {
            await foreach (var happened in channel.Reader.ReadAllAsync(cancellation))
            {
                yield return happened;
            }
        }
        finally
        {
            lock (_lock)
            {
                _watchers.Remove(channel);
            }
        }
    }
}
