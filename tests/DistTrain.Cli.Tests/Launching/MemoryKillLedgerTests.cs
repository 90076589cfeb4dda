using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Launching;

public sealed class MemoryKillLedgerTests
{
    [Fact]
    public void Each_kill_is_taken_for_one_process()
    {
        var ledger = new MemoryKillLedger(3);
        Assert.False(ledger.Take(ExitCodes.Killed, 3, At(1)));
        Assert.Equal([true, true, false], Enumerable.Range(0, 3).Select(_ => ledger.Take(ExitCodes.Killed, 5, At(2))));
        Assert.True(ledger.Take(ExitCodes.Killed, 6, At(3)));
    }

    [Fact]
    public void Who_ended_otherwise_was_not_killed_and_takes_no_kill_from_another()
    {
        var ledger = new MemoryKillLedger(0);
        Assert.False(ledger.Take(1, 1, At(1)));
        Assert.True(ledger.Take(ExitCodes.Killed, 1, At(1)));
    }

    [Fact]
    public void A_kill_that_no_process_ended_by_is_not_put_down_to_one_that_somebody_kills_later()
    {
        var ledger = new MemoryKillLedger(0);
        ledger.Look(1, At(10));
        Assert.False(ledger.Take(ExitCodes.Killed, 1, At(10) + MemoryKillLedger.Window + At(0.1)));

        // The next one counts again, and only once.
        Assert.Equal([true, false], Enumerable.Range(0, 2).Select(_ => ledger.Take(ExitCodes.Killed, 2, At(60))));
    }

    [Fact]
    public void A_process_may_be_seen_to_end_a_little_later_than_the_kill()
    {
        var ledger = new MemoryKillLedger(0);
        ledger.Look(1, At(10));
        ledger.Look(1, At(11));
        Assert.True(ledger.Take(ExitCodes.Killed, 1, At(10) + MemoryKillLedger.Window));
    }

    private static TimeSpan At(double seconds) => TimeSpan.FromSeconds(seconds);
}
