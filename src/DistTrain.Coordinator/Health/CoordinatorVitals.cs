using DistTrain.Core.Health;
using DistTrain.Core.Membership;
using DistTrain.Protocol.Hosting;

namespace DistTrain.Coordinator.Health;

/// <summary>Where a coordinator is, and when its loop last turned, for whoever asks; and how its run stands, in numbers.</summary>
/// <param name="time">The clock.</param>
public sealed class CoordinatorVitals(TimeProvider time) : IHealthSource
{
    private readonly Lock _lock = new();
    private readonly long _started = time.GetTimestamp();
    private Timeouts _timeouts = Timeouts.Default;
    private CoordinatorPhase _phase = CoordinatorPhase.Opening;
    private TimeSpan _since;
    private string _detail = "It opens the run's folder.";

    /// <inheritdoc/>
    public HealthAnswer Startup => CoordinatorHealth.Startup(Condition);

    /// <inheritdoc/>
    public HealthAnswer Ready => CoordinatorHealth.Ready(Condition);

    /// <inheritdoc/>
    public HealthAnswer Live => CoordinatorHealth.Live(Condition, Now, _timeouts);

    /// <summary>What is known now.</summary>
    public CoordinatorCondition Condition
    {
        get
        {
            lock (_lock)
            {
                return new CoordinatorCondition(_phase, _since, _phase == CoordinatorPhase.Running ? Totals.Sentence : _detail);
            }
        }
    }

    /// <summary>How the run stands.</summary>
    internal RunTotals Totals { get; } = new();

    private TimeSpan Now => time.GetElapsedTime(_started);

    /// <summary>It is somewhere else from now on, or at something else there.</summary>
    /// <param name="phase">Where.</param>
    /// <param name="detail">What it is at, in a sentence.</param>
    public void Begin(CoordinatorPhase phase, string detail)
    {
        lock (_lock)
        {
            (_phase, _since, _detail) = (phase, Now, detail);
        }
    }

    /// <summary>It decides from now on.</summary>
    internal void Run(Timeouts timeouts)
    {
        _timeouts = timeouts;
        Begin(CoordinatorPhase.Running, "");
    }

    /// <summary>The loop takes an event.</summary>
    internal void Turn()
    {
        lock (_lock)
        {
            _since = Now;
        }
    }
}
