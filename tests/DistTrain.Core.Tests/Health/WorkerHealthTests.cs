using DistTrain.Core.Health;
using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Health;

/// <summary>Which workers a cluster may start anew: those that do not get on, and nobody who waits or heals.</summary>
public sealed class WorkerHealthTests
{
    private static readonly TimeSpan Ages = TimeSpan.FromDays(3);
    private static readonly HashSet<WorkerActivity> Work =
        [WorkerActivity.Building, WorkerActivity.Copying, WorkerActivity.Computing, WorkerActivity.Updating];

    public static TheoryData<WorkerActivity> Activities => [.. Enum.GetValues<WorkerActivity>()];

    [Theory]
    [MemberData(nameof(Activities))]
    public void Who_waits_lives_however_long_and_who_works_has_to_get_on(WorkerActivity activity)
    {
        var answer = WorkerHealth.Live(At(activity), Ages, Timeouts.Default);
        Assert.Equal(!Work.Contains(activity), answer.IsGood);
        Assert.StartsWith(answer.IsGood ? "It waits: " : "It is stuck: ", answer.Sentence, StringComparison.Ordinal);
        Assert.EndsWith(".", answer.Sentence, StringComparison.Ordinal);
        Assert.True(WorkerHealth.Live(At(activity), TimeSpan.Zero, Timeouts.Default).IsGood);
    }

    [Theory]
    [InlineData(WorkerActivity.Computing, null, 600)]
    [InlineData(WorkerActivity.Computing, 0.5, 60)]
    [InlineData(WorkerActivity.Computing, 10.0, 150)]
    [InlineData(WorkerActivity.Updating, null, 600)]
    [InlineData(WorkerActivity.Updating, 0.01, 60)]
    [InlineData(WorkerActivity.Building, null, 600)]
    [InlineData(WorkerActivity.Copying, null, 600)]
    public void A_piece_of_work_may_take_what_nobody_else_would_have_patience_for(WorkerActivity activity, double? longest, double allowed)
    {
        var worker = At(activity) with { Longest = longest is { } seconds ? TimeSpan.FromSeconds(seconds) : null, Since = TimeSpan.FromSeconds(7) };
        Assert.True(WorkerHealth.Live(worker, TimeSpan.FromSeconds(7 + allowed), Timeouts.Default).IsGood);
        Assert.False(WorkerHealth.Live(worker, TimeSpan.FromSeconds(7.001 + allowed), Timeouts.Default).IsGood);
    }

    /// <summary>The coordinator gives a member up long before its own process does.</summary>
    [Theory]
    [InlineData(0.2, 0.1)]
    [InlineData(2, 1)]
    [InlineData(2, 60)]
    [InlineData(60, 3)]
    public void Everyone_else_has_given_it_up_by_then(double failureDetection, double block)
    {
        var timeouts = new Timeouts(TimeSpan.FromSeconds(failureDetection));
        var watch = new ProgressWatch(timeouts.NoProgress);
        watch.Issue(worker: 0, operation: 1, blocks: 2, samplesPerBlock: 1, TimeSpan.Zero);
        watch.Hear(worker: 0, operation: 1, blocksDone: 0, TimeSpan.Zero);
        var worker = At(WorkerActivity.Computing) with { Longest = TimeSpan.FromSeconds(block) };
        var given = watch.Overdue(0, block, Ages)!.Value;
        Assert.True(WorkerHealth.Live(worker, 2.9 * given, timeouts).IsGood);
    }

    [Fact]
    public void Ready_is_who_is_a_member_whatever_it_does_there()
    {
        var member = At(WorkerActivity.Exchanging) with { IsMember = true, Generation = 4, Rank = 1, WorldSize = 3 };
        Assert.Equal(new HealthAnswer(true, "It is rank 1 of 3 in generation 4."), WorkerHealth.Ready(member));
        Assert.Equal(
            new HealthAnswer(false, "It is no member of a generation: it copies the state."), WorkerHealth.Ready(At(WorkerActivity.Copying)));
        Assert.Equal(
            new HealthAnswer(false, "It is no member of a generation: the run has ended (Completed 5 steps), and it stays for the next one."),
            WorkerHealth.Ready(At(WorkerActivity.Staying) with { Detail = "Completed 5 steps." }));
    }

    [Fact]
    public void Started_is_who_listens_whether_there_is_a_coordinator_or_not()
    {
        Assert.False(WorkerHealth.Startup(At(WorkerActivity.Starting)).IsGood);
        Assert.True(WorkerHealth.Startup(At(WorkerActivity.Dialing)).IsGood);
    }

    private static WorkerCondition At(WorkerActivity activity) => new() { Activity = activity, Since = TimeSpan.Zero };
}
