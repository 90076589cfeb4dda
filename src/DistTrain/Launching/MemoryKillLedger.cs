namespace DistTrain.Launching;

/// <summary>
/// Tells which of a run's processes the system seems to have killed for want of memory. The system only counts, and also kills processes of the control group that are none of the run's: a process that
/// was killed shortly after the count went up is taken for the one, and each kill for one process. Pure but for its lock: somebody else reads count and clock.
/// </summary>
/// <param name="count">How often the system had killed a process of the control group when the run was launched.</param>
internal sealed class MemoryKillLedger(long count)
{
    /// <summary>How long after a kill a process may be seen to end.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromSeconds(5);

    /// <summary>How often the count is to be looked at while no process ends: a kill cannot be told to be older than the last look.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly Queue<TimeSpan> _kills = [];
    private long _seen = count;

    /// <summary>Notes kills since the last look.</summary>
    /// <param name="count">How often so far.</param>
    /// <param name="now">The time since any moment, always the same.</param>
    public void Look(long count, TimeSpan now)
    {
        lock (_gate)
        {
            Note(count, now);
        }
    }

    /// <summary>A process has ended.</summary>
    /// <param name="code">Its exit code.</param>
    /// <param name="count">How often the system has killed a process so far.</param>
    /// <param name="now">The time, as in <see cref="Look"/>.</param>
    /// <returns>Whether the system seems to have killed it for want of memory.</returns>
    public bool Take(int code, long count, TimeSpan now)
    {
        lock (_gate)
        {
            Note(count, now);
            return code == ExitCodes.Killed && _kills.TryDequeue(out _);
        }
    }

    private void Note(long count, TimeSpan now)
    {
        while (_kills.TryPeek(out var oldest) && now - oldest > Window)
        {
            _kills.Dequeue();
        }

        for (; _seen < count; _seen++)
        {
            _kills.Enqueue(now);
        }
    }
}
