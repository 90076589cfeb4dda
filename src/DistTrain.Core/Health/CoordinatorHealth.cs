using DistTrain.Core.Membership;
using DistTrain.Core.Options;

namespace DistTrain.Core.Health;

/// <summary>Where a coordinator is between its start and its end.</summary>
public enum CoordinatorPhase
{
    /// <summary>It reads the run's folder, or waits for another coordinator that still owns it.</summary>
    Opening,

    /// <summary>It listens, its journal is open, and events are decided.</summary>
    Running,

    /// <summary>The run has ended: last words, summary, and what else is to be done.</summary>
    Ending,
}

/// <summary>What is known of a coordinator at a moment.</summary>
/// <param name="Phase">Where it is.</param>
/// <param name="Since">When that began, or when its loop last took an event.</param>
/// <param name="Detail">What it is at, in a sentence.</param>
public sealed record CoordinatorCondition(CoordinatorPhase Phase, TimeSpan Since, string Detail);

/// <summary>How a coordinator is. Workers need not be there: a run waits for them.</summary>
public static class CoordinatorHealth
{
    /// <summary>Whether it has opened the run's folder.</summary>
    public static HealthAnswer Startup(CoordinatorCondition condition) => new(condition.Phase != CoordinatorPhase.Opening, condition.Detail);

    /// <summary>Whether workers may call.</summary>
    public static HealthAnswer Ready(CoordinatorCondition condition) => new(condition.Phase == CoordinatorPhase.Running, condition.Detail);

    /// <summary>Whether its loop turns: a heartbeat of its own is among the events. Opening takes as long as there is to read, and each end has a deadline of its own.</summary>
    /// <param name="condition">What is known of it.</param>
    /// <param name="now">The time, on the condition's clock.</param>
    /// <param name="timeouts">The run's limits.</param>
    public static HealthAnswer Live(CoordinatorCondition condition, TimeSpan now, Timeouts timeouts)
    {
        var allowed = condition.Phase == CoordinatorPhase.Ending ? timeouts.StuckAtFirst : timeouts.Stuck;
        return condition.Phase == CoordinatorPhase.Opening || now - condition.Since <= allowed
            ? new(true, condition.Detail)
            : new(false, $"It has taken no event for {Duration.Format(TimeSpan.FromSeconds(Math.Floor((now - condition.Since).TotalSeconds)))}; {Duration.Format(allowed)} are allowed. {condition.Detail}");
    }
}
