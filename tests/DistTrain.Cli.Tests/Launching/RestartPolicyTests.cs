using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Launching;

/// <summary>Which processes are started again, after how long, and how often.</summary>
public sealed class RestartPolicyTests
{
    private const int Killed = 137;

    [Fact]
    public void Without_progress_the_pauses_grow_until_it_stays_away()
    {
        var policy = new RestartPolicy(8);
        var state = default(RestartState);
        var pauses = new List<double>();
        RestartDecision decision;
        while ((decision = policy.Decide(state, Killed, progress: 0)).Again)
        {
            pauses.Add(decision.Pause.TotalSeconds);
            state = decision.State;
        }

        Assert.Equal([0, 1, 2, 4, 8, 16, 30, 30], pauses);
        Assert.Equal(8, decision.Before);
    }

    [Fact]
    public void A_step_completed_since_makes_it_the_first_time_again()
    {
        var policy = new RestartPolicy(1);
        var state = default(RestartState);
        for (var progress = 1; progress <= 10; progress++)
        {
            var decision = policy.Decide(state, Killed, progress);
            Assert.Equal((true, TimeSpan.Zero), (decision.Again, decision.Pause));
            state = decision.State;
        }

        Assert.False(policy.Decide(state, Killed, progress: 10).Again);
    }

    [Theory]
    [InlineData(0, 3, false)]
    [InlineData(1, 3, false)]
    [InlineData(2, 3, false)]
    [InlineData(134, 3, true)]
    [InlineData(139, 3, true)]
    [InlineData(Killed, 0, false)]
    public void Only_what_a_signal_ended_is_started_again(int exitCode, int most, bool again) =>
        Assert.Equal(again, new RestartPolicy(most).Decide(default, exitCode, progress: 0).Again);
}
