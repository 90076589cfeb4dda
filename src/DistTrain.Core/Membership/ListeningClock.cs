namespace DistTrain.Core.Membership;

/// <summary>
/// How long the coordinator has listened. Where it comes to its ticks late, as after many losses at once or on a machine that gave it no time, what workers said meanwhile lies in a queue
/// behind the tick: its own standstill is nobody's silence.
/// </summary>
/// <param name="most">The longest time between two ticks in which it counts as listening.</param>
internal sealed class ListeningClock(TimeSpan most)
{
    private TimeSpan _deaf;
    private TimeSpan _last;

    /// <summary>The time it has listened until now.</summary>
    public TimeSpan At(TimeSpan now) => now - _deaf;

    /// <summary>The clock moved.</summary>
    public void Tick(TimeSpan now)
    {
        var late = now - _last - most;
        _deaf += late > TimeSpan.Zero ? late : TimeSpan.Zero;
        _last = now;
    }
}
