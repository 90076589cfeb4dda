using DistTrain.Core.Tuning;

namespace DistTrain.Core.Tests.Tuning;

/// <summary>Short passes are repeated until one was left alone, long ones are not.</summary>
public sealed class TimedPassesTests
{
    [Fact]
    public void A_blip_among_short_passes_does_not_count()
    {
        // Whatever shares the machine takes it for 20 ms.
        var passes = Take(pass => Milliseconds(pass is > 0 and < 4 ? 20 : 0.5));
        Assert.Equal(Milliseconds(0.5), passes.Fastest);
    }

    [Fact]
    public void Short_passes_are_repeated_for_a_tenth_of_a_second() => Assert.Equal(1 + 200, Count(_ => Milliseconds(0.5)));

    [Fact]
    public void Of_long_passes_two_count_and_the_first_does_not()
    {
        var passes = Take(pass => TimeSpan.FromSeconds(pass == 0 ? 1 : 10 - pass));
        Assert.Equal(TimeSpan.FromSeconds(8), passes.Fastest);
        Assert.Equal(3, Count(_ => TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public void A_clock_that_stands_still_has_an_end() => Assert.Equal(1 + TimedPasses.Most, Count(_ => TimeSpan.Zero));

    private static TimeSpan Milliseconds(double count) => TimeSpan.FromMilliseconds(count);

    private static int Count(Func<int, TimeSpan> time)
    {
        var count = 0;
        Take(pass =>
        {
            count++;
            return time(pass);
        });
        return count;
    }

    private static TimedPasses Take(Func<int, TimeSpan> time)
    {
        var passes = new TimedPasses();
        for (var pass = 0; !passes.AreEnough; pass++)
        {
            Assert.True(pass < 10_000);
            passes.Add(time(pass));
        }

        return passes;
    }
}
