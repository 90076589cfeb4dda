using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Membership;

/// <summary>One setting and what follows from it.</summary>
public sealed class TimeoutsTests
{
    [Fact]
    public void The_default_gives_what_the_documents_say()
    {
        var timeouts = Timeouts.Default;
        Assert.Equal(TimeSpan.FromSeconds(2), timeouts.FailureDetection);
        Assert.Equal(
            [0.4, 2, 20, 2, 2, 10, 2, 1, 0.1, 0.5, 30, 90, 0.2, 30, 60, 4, 10, 60, 10, 8, 15, 6, 5, 60, 600, 135, 10, 20],
            timeouts.All.Select(l => l.Value.TotalSeconds));
    }

    /// <summary>Whatever the setting, waits that contain others are longer than those.</summary>
    [Theory]
    [InlineData(0.2)]
    [InlineData(2)]
    [InlineData(20)]
    [InlineData(600)]
    public void Waits_that_contain_others_are_longer(double seconds)
    {
        var timeouts = new Timeouts(TimeSpan.FromSeconds(seconds));
        Assert.True(4 * timeouts.Heartbeat < timeouts.Silence);
        Assert.True(2 * timeouts.LongestRedial <= timeouts.FormerWorkers);
        Assert.True(timeouts.Silence + timeouts.LinkReport < timeouts.Link);
        Assert.True(timeouts.StartUpSilence < timeouts.CoordinatorPatience);
        Assert.True(timeouts.Stop < timeouts.Grace && timeouts.Grace < timeouts.ProcessEnd && timeouts.Verdict <= timeouts.Grace);
        Assert.True(timeouts.Summary < timeouts.Verdict);
        Assert.True(timeouts.LongestRedial < timeouts.PatientRedial && timeouts.PatientRedial < timeouts.FirstAnswer);
        Assert.True(ProgressWatch.Patience * timeouts.NoProgress < timeouts.Stuck && timeouts.StartUpSilence < timeouts.Stuck && timeouts.Stuck < timeouts.StuckAtFirst);
        Assert.True(timeouts.ProcessEnd < timeouts.Ownership && timeouts.ClusterQuestion <= TimeSpan.FromSeconds(20));
        Assert.True(timeouts.ProcessStart >= TimeSpan.FromMinutes(1));
        Assert.All(timeouts.All, limit => Assert.True(limit.Value > TimeSpan.Zero && limit.Limits.Length > 0, limit.Name));
    }
}
