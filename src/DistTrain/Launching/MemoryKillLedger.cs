namespace DistTrain.Launching;

/// <summary>
/// Tells which of a run's processes the system killed for want of memory. The system only counts: a process that was killed after the count has gone up is taken for the one, and each kill
/// is taken for one process.
/// </summary>
/// <param name="count">How often the system has killed a process of the control group so far.</param>
internal sealed class MemoryKillLedger(Func<long> count)
{
    private readonly Lock _gate = new();
    private long _taken = count();

    /// <summary>A process has ended.</summary>
    /// <param name="code">Its exit code.</param>
    /// <returns>Whether the system may have killed it for want of memory.</returns>
    public bool Take(int code)
    {
        lock (_gate)
        {
            if (code != ExitCodes.Killed || count() <= _taken)
            {
                return false;
            }

            _taken++;
            return true;
        }
    }
}
