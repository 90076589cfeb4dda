using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Launching;

public sealed class MemoryKillLedgerTests
{
    [Fact]
    public void Each_kill_is_taken_for_one_process()
    {
        var kills = 3L;
        var ledger = new MemoryKillLedger(() => kills);
        Assert.False(ledger.Take(ExitCodes.Killed));
        kills = 5;
        Assert.Equal([true, true, false], Enumerable.Range(0, 3).Select(_ => ledger.Take(ExitCodes.Killed)));
        kills = 6;
        Assert.True(ledger.Take(ExitCodes.Killed));
    }

    [Fact]
    public void Who_ended_otherwise_was_not_killed_and_takes_no_kill_from_another()
    {
        var kills = 0L;
        var ledger = new MemoryKillLedger(() => kills);
        kills = 1;
        Assert.False(ledger.Take(1));
        Assert.True(ledger.Take(ExitCodes.Killed));
    }
}
