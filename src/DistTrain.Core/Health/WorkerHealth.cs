using DistTrain.Core.Membership;
using DistTrain.Core.Options;

namespace DistTrain.Core.Health;

/// <summary>How a worker is, for whoever starts it anew where it does not get on.</summary>
/// <remarks>
/// Who waits lives, however long: whom it waits for is asked as well, and a restart would only lose its state. Work has to get on, within limits far beyond those at which
/// everyone else has given this worker up.
/// </remarks>
public static class WorkerHealth
{
    /// <summary>How many times the longest piece of work so far the next may take: three times what the coordinator gives a member.</summary>
    public const int Patience = 3 * ProgressWatch.Patience;

    /// <summary>Whether it has started: it listens for its peers. Whether there is a coordinator is not its matter.</summary>
    public static HealthAnswer Startup(WorkerCondition condition) => condition.Activity == WorkerActivity.Starting
        ? new(false, "It does not listen for its peers yet.")
        : new(true, "It listens for its peers.");

    /// <summary>Whether it takes part in steps.</summary>
    public static HealthAnswer Ready(WorkerCondition condition) => condition.IsMember
        ? new(true, $"It is rank {condition.Rank} of {condition.WorldSize} in generation {condition.Generation}.")
        : new(false, $"It is no member of a generation: {Words(condition)}.");

    /// <summary>Whether it gets on, or waits.</summary>
    /// <param name="condition">What is known of it.</param>
    /// <param name="now">The time, on the condition's clock.</param>
    /// <param name="timeouts">The run's limits.</param>
    public static HealthAnswer Live(WorkerCondition condition, TimeSpan now, Timeouts timeouts)
    {
        var spent = now - condition.Since;
        var since = Duration.Format(TimeSpan.FromSeconds(Math.Max(0, Math.Floor(spent.TotalSeconds))));
        return Allowed(condition, timeouts) switch
        {
            null => new(true, $"It waits: {Words(condition)}."),
            { } allowed when spent <= allowed => new(true, $"It works: {Words(condition)}, and last got on {since} ago."),
            { } allowed => new(false, $"It is stuck: {Words(condition)}, and has not got on for {since}; {Duration.Format(allowed)} are allowed."),
        };
    }

    /// <summary>How long it may be at one piece of what it does; null where it waits.</summary>
    private static TimeSpan? Allowed(WorkerCondition condition, Timeouts timeouts) => condition.Activity switch
    {
        WorkerActivity.Computing or WorkerActivity.Updating => condition.Longest is { } longest
            ? TimeSpan.FromSeconds(Math.Ceiling(Math.Max(timeouts.Stuck.TotalSeconds, Patience * longest.TotalSeconds)))
            : timeouts.StuckAtFirst,
        WorkerActivity.Building or WorkerActivity.Copying => timeouts.StuckAtFirst,
        _ => null,
    };

    private static string Words(WorkerCondition condition) => condition.Activity switch
    {
        WorkerActivity.Starting => "it does not listen for its peers yet",
        WorkerActivity.Dialing => condition.Detail.Length > 0 ? LowerFirst(condition.Detail.TrimEnd('.')) : "it calls the coordinator",
        WorkerActivity.Attending => "the coordinator says what comes next",
        WorkerActivity.Loading => "it opens the data",
        WorkerActivity.Building => "it builds the model",
        WorkerActivity.Sending => "it sends the first state to the coordinator",
        WorkerActivity.Copying => "it copies the state",
        WorkerActivity.Following => "the member that it gets the state from has not sent what comes next",
        WorkerActivity.Awaiting => "the next operation is not handed out yet",
        WorkerActivity.Computing => "it computes blocks",
        WorkerActivity.Exchanging => "the other members' sums are not here yet",
        WorkerActivity.Updating => "it updates the weights",
        WorkerActivity.Staying => $"the run has ended ({condition.Detail.TrimEnd('.')}), and it stays for the next one",
        _ => throw new ArgumentOutOfRangeException(nameof(condition)),
    };

    private static string LowerFirst(string sentence) => $"{char.ToLowerInvariant(sentence[0])}{sentence[1..]}";
}
