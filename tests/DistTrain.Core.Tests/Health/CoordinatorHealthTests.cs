using DistTrain.Core.Health;
using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Health;

/// <summary>A coordinator is ready while it listens, and lives while its loop turns.</summary>
public sealed class CoordinatorHealthTests
{
    [Theory]
    [InlineData(CoordinatorPhase.Opening, false, false)]
    [InlineData(CoordinatorPhase.Running, true, true)]
    [InlineData(CoordinatorPhase.Ending, true, false)]
    public void It_has_started_when_the_folder_is_open_and_is_ready_until_the_run_has_ended(CoordinatorPhase phase, bool started, bool ready)
    {
        var coordinator = new CoordinatorCondition(phase, TimeSpan.Zero, "So it is.");
        Assert.Equal(new HealthAnswer(started, "So it is."), CoordinatorHealth.Startup(coordinator));
        Assert.Equal(new HealthAnswer(ready, "So it is."), CoordinatorHealth.Ready(coordinator));
    }

    [Theory]
    [InlineData(CoordinatorPhase.Opening, 1e6, true)]
    [InlineData(CoordinatorPhase.Running, 60, true)]
    [InlineData(CoordinatorPhase.Running, 60.1, false)]
    [InlineData(CoordinatorPhase.Ending, 600, true)]
    [InlineData(CoordinatorPhase.Ending, 600.1, false)]
    public void A_loop_that_stands_still_does_not_live(CoordinatorPhase phase, double seconds, bool lives)
    {
        var coordinator = new CoordinatorCondition(phase, TimeSpan.FromSeconds(3), "So it is.");
        var answer = CoordinatorHealth.Live(coordinator, TimeSpan.FromSeconds(3 + seconds), Timeouts.Default);
        Assert.Equal(lives, answer.IsGood);
        Assert.EndsWith("So it is.", answer.Sentence, StringComparison.Ordinal);
    }
}
