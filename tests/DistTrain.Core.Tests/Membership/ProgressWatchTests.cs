using CsCheck;
using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Membership;

public class ProgressWatchTests
{
    private static readonly TimeSpan Detection = TimeSpan.FromSeconds(2);
    private readonly ProgressWatch _watch = new(Detection);

    [Fact]
    public void A_member_at_the_same_block_for_too_long_is_overdue()
    {
        _watch.Issue(0, 7, blocks: 3, samplesPerBlock: 10, At(0));
        _watch.Hear(0, 7, 0, At(1));
        Assert.Null(_watch.Overdue(0, 0.01, At(3)));
        Assert.Equal(Detection, _watch.Overdue(0, 0.01, At(3.1)));
        _watch.Hear(0, 7, 0, At(3.2));
        Assert.Equal(Detection, _watch.Overdue(0, 0.01, At(3.2)));
        _watch.Hear(0, 7, 1, At(3.3));
        Assert.Null(_watch.Overdue(0, 0.01, At(5.3)));
        Assert.Equal(Detection, _watch.Overdue(0, 0.01, At(5.4)));
    }

    [Fact]
    public void A_long_block_may_take_five_times_as_long_as_expected()
    {
        _watch.Issue(0, 7, blocks: 1, samplesPerBlock: 10, At(0));
        _watch.Hear(0, 7, 0, At(1));
        Assert.Null(_watch.Overdue(0, 0.3, At(16)));
        Assert.Equal(TimeSpan.FromSeconds(15), _watch.Overdue(0, 0.3, At(16.1)));
    }

    [Fact]
    public void Who_has_done_its_blocks_waits_for_others()
    {
        _watch.Issue(0, 7, blocks: 3, samplesPerBlock: 10, At(0));
        _watch.Hear(0, 7, 3, At(1));
        Assert.Null(_watch.Overdue(0, 0.01, At(1000)));
    }

    [Fact]
    public void Who_has_no_blocks_waits_for_others()
    {
        _watch.Issue(0, 7, blocks: 0, samplesPerBlock: 10, At(0));
        _watch.Hear(0, 7, 0, At(1));
        Assert.Null(_watch.Overdue(0, 0.01, At(1000)));
    }

    [Fact]
    public void Who_has_not_begun_may_be_kept_from_it()
    {
        _watch.Issue(0, 7, blocks: 3, samplesPerBlock: 10, At(0));
        _watch.Hear(0, 6, 0, At(1));
        Assert.Null(_watch.Overdue(0, 0.01, At(1000)));
    }

    [Fact]
    public void First_blocks_are_exempt()
    {
        _watch.Issue(0, 7, blocks: 3, samplesPerBlock: 10, At(0));
        _watch.Hear(0, 7, 0, At(1));
        Assert.Null(_watch.Overdue(0, null, At(1000)));
    }

    [Fact]
    public void The_next_operation_begins_when_the_one_before_is_completed()
    {
        _watch.Issue(0, 7, blocks: 1, samplesPerBlock: 10, At(0));
        _watch.Issue(0, 8, blocks: 2, samplesPerBlock: 10, At(0));
        _watch.Hear(0, 7, 1, At(1));
        _watch.Complete(0, 7, At(10));
        _watch.Hear(0, 8, 0, At(11));
        Assert.Null(_watch.Overdue(0, 0.01, At(13)));
        Assert.NotNull(_watch.Overdue(0, 0.01, At(13.1)));
        _watch.Complete(0, 8, At(14));
        Assert.Null(_watch.Overdue(0, 0.01, At(1000)));
    }

    [Fact]
    public void A_new_generation_forgets_what_was_under_way()
    {
        _watch.Issue(0, 7, blocks: 3, samplesPerBlock: 10, At(0));
        _watch.Hear(0, 7, 0, At(1));
        _watch.Restart();
        Assert.Null(_watch.Overdue(0, 0.01, At(1000)));
        _watch.Hear(0, 7, 2, At(1000));
        _watch.Issue(0, 7, blocks: 2, samplesPerBlock: 10, At(1001));
        Assert.Null(_watch.Overdue(0, 0.01, At(2000)));
        _watch.Hear(0, 7, 1, At(2000));
        Assert.NotNull(_watch.Overdue(0, 0.01, At(2003)));
    }

    /// <summary>Whatever the blocks take, as long as it is within the patience: heartbeats at any moments never make a member overdue.</summary>
    [Fact]
    public void Who_gets_on_is_never_overdue() =>
        Gen.Select(Gen.Double[0.01, 3], Gen.Double[0.1, 5].Array[1, 30], Gen.Double[0.05, 0.4]).Always((expected, factors, beat) =>
        {
            var watch = new ProgressWatch(Detection);
            watch.Issue(0, 1, factors.Length, samplesPerBlock: 10, At(0));
            var (end, now) = (0.0, 0.0);
            for (var done = 0; done < factors.Length; done++)
            {
                end += factors[done] * expected;
                for (; now < end; now += beat)
                {
                    watch.Hear(0, 1, done, At(now));
                    Assert.Null(watch.Overdue(0, expected / 10, At(now)));
                }
            }
        });

    private static TimeSpan At(double seconds) => TimeSpan.FromSeconds(seconds);
}
