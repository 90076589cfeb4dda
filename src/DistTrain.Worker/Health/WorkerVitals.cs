using DistTrain.Core.Health;
using DistTrain.Core.Membership;
using DistTrain.Protocol.Hosting;

namespace DistTrain.Worker.Health;

/// <summary>
/// What a worker is at, and since when, for whoever asks; and what it has done, in numbers. Whoever does something notes it here: that costs a lock that nobody holds,
/// and no memory.
/// </summary>
/// <param name="time">The clock.</param>
public sealed class WorkerVitals(TimeProvider time) : IHealthSource
{
    private readonly Lock _lock = new();
    private readonly long _started = time.GetTimestamp();
    private Timeouts _timeouts = Timeouts.Default;
    private WorkerActivity _activity = WorkerActivity.Starting;
    private TimeSpan _since;
    private string _detail = "";
    private bool _isMember;
    private (ulong Generation, int Rank, int WorldSize) _place;
    private TimeSpan? _absentSince = TimeSpan.Zero;
    private TimeSpan? _longestBlock;
    private TimeSpan? _longestUpdate;

    /// <inheritdoc/>
    public HealthAnswer Startup => WorkerHealth.Startup(Condition);

    /// <inheritdoc/>
    public HealthAnswer Ready => WorkerHealth.Ready(Condition);

    /// <inheritdoc/>
    public HealthAnswer Live => WorkerHealth.Live(Condition, Now, _timeouts);

    /// <summary>How long there has been no session with a coordinator; null in one.</summary>
    public TimeSpan? Absence
    {
        get
        {
            lock (_lock)
            {
                return Now - _absentSince;
            }
        }
    }

    /// <summary>What is known now.</summary>
    public WorkerCondition Condition
    {
        get
        {
            lock (_lock)
            {
                return new WorkerCondition
                {
                    Activity = _activity,
                    Since = _since,
                    Longest = _activity switch { WorkerActivity.Computing => _longestBlock, WorkerActivity.Updating => _longestUpdate, _ => null },
                    Detail = _detail,
                    IsMember = _isMember,
                    Generation = _place.Generation,
                    Rank = _place.Rank,
                    WorldSize = _place.WorldSize,
                };
            }
        }
    }

    /// <summary>What it has done.</summary>
    internal WorkerTotals Totals { get; } = new();

    private TimeSpan Now => time.GetElapsedTime(_started);

    /// <summary>It is at something else from now on.</summary>
    /// <param name="activity">What.</param>
    /// <param name="detail">Why, in a sentence, where the activity does not say.</param>
    internal void Begin(WorkerActivity activity, string detail = "")
    {
        lock (_lock)
        {
            var now = Now;
            if (_activity == WorkerActivity.Updating)
            {
                _longestUpdate = Longest(_longestUpdate, now - _since);
            }

            if (activity == WorkerActivity.Building)
            {
                // Of this model nothing is measured yet: after a run of small blocks, one of large ones is not stuck in its first.
                (_longestBlock, _longestUpdate) = (null, null);
            }

            (_activity, _since, _detail) = (activity, now, detail);
        }
    }

    /// <summary>It has got on with what it is at: a block, a chunk.</summary>
    internal void Advance()
    {
        lock (_lock)
        {
            var now = Now;
            if (_activity == WorkerActivity.Computing)
            {
                _longestBlock = Longest(_longestBlock, now - _since);
            }

            _since = now;
        }
    }

    /// <summary>A session has begun.</summary>
    internal void Attend(Timeouts timeouts)
    {
        lock (_lock)
        {
            (_timeouts, _absentSince) = (timeouts, null);
        }

        Begin(WorkerActivity.Attending);
    }

    /// <summary>The session is over.</summary>
    internal void Part()
    {
        lock (_lock)
        {
            (_isMember, _absentSince) = (false, Now);
        }

        Begin(WorkerActivity.Dialing);
    }

    /// <summary>It is a member of a generation.</summary>
    internal void Enter(ulong generation, int rank, int worldSize)
    {
        lock (_lock)
        {
            (_isMember, _place) = (true, (generation, rank, worldSize));
        }

        Begin(WorkerActivity.Awaiting);
    }

    /// <summary>It is no member any more.</summary>
    internal void Leave()
    {
        lock (_lock)
        {
            _isMember = false;
        }
    }

    private static TimeSpan Longest(TimeSpan? before, TimeSpan now) => before is { } longest && longest > now ? longest : now;
}
