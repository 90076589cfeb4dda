namespace DistTrain.Launching;

/// <summary>The shell around <see cref="MemoryKillLedger"/>: it reads the count and the clock.</summary>
/// <param name="count">How often the system has killed a process of the control group so far.</param>
/// <param name="time">The clock.</param>
internal sealed class MemoryKillWatch(Func<long> count, TimeProvider time)
{
    private readonly MemoryKillLedger _ledger = new(count());
    private readonly long _started = time.GetTimestamp();

    /// <summary>Looks at the count until the run is over.</summary>
    public async Task LookAsync(CancellationToken over)
    {
        using var timer = new PeriodicTimer(MemoryKillLedger.Interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(over))
            {
                _ledger.Look(count(), time.GetElapsedTime(_started));
            }
        }
        catch (OperationCanceledException)
        {
            // The run is over.
        }
    }

    /// <summary>A process has ended.</summary>
    /// <param name="code">Its exit code.</param>
    /// <returns>Whether the system seems to have killed it for want of memory.</returns>
    public bool Take(int code) => _ledger.Take(code, count(), time.GetElapsedTime(_started));
}
