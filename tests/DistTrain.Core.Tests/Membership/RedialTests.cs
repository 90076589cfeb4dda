using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Membership;

/// <summary>How often a worker calls a coordinator that does not answer.</summary>
public sealed class RedialTests
{
    private static readonly Timeouts Limits = Timeouts.Default;

    [Fact]
    public void Who_holds_a_state_calls_at_least_twice_in_the_time_a_run_waits_for_it_however_long_it_has_waited()
    {
        var pause = TimeSpan.Zero;
        for (var waited = TimeSpan.Zero; waited < TimeSpan.FromHours(10); waited += pause)
        {
            pause = Redial.Pause(pause, waited, holdsState: true, Limits);
            Assert.InRange(pause, TimeSpan.FromMilliseconds(1), Limits.FormerWorkers / 2);
        }

        Assert.Equal(Limits.LongestRedial, pause);
    }

    [Fact]
    public void Who_holds_none_calls_ever_less_often_up_to_a_limit()
    {
        var (pause, pauses) = (TimeSpan.Zero, new List<double>());
        for (var waited = TimeSpan.Zero; waited < TimeSpan.FromMinutes(2); waited += pause)
        {
            pause = Redial.Pause(pause, waited, holdsState: false, Limits);
            pauses.Add(pause.TotalSeconds);
        }

        Assert.Equal([0.1, 0.2, 0.4, 0.5, 0.5], pauses[..5]);
        Assert.Equal([1, 2, 4, 5, 5], pauses.SkipWhile(p => p < 0.9).Take(5));
        Assert.Equal(Limits.PatientRedial.TotalSeconds, pauses.Max());
    }
}
