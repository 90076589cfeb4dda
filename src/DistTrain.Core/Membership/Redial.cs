namespace DistTrain.Core.Membership;

/// <summary>How long a worker pauses between attempts to reach its coordinator.</summary>
public static class Redial
{
    /// <summary>
    /// The pause after an attempt that failed. One that holds a state, or has only just begun to wait, calls often: a run waits for those that hold its newest state, and
    /// not for long. Any other leaves the network alone.
    /// </summary>
    /// <param name="before">The pause before the attempt; zero for none.</param>
    /// <param name="waited">How long it has waited already.</param>
    /// <param name="holdsState">Whether it has a state to offer.</param>
    /// <param name="timeouts">The run's limits.</param>
    public static TimeSpan Pause(TimeSpan before, TimeSpan waited, bool holdsState, Timeouts timeouts)
    {
        var longest = holdsState || waited < timeouts.FirstAnswer ? timeouts.LongestRedial : timeouts.PatientRedial;
        var pause = before == TimeSpan.Zero ? timeouts.FirstRedial : 2 * before;
        return pause < longest ? pause : longest;
    }
}
