using CsCheck;
using DistTrain.Core.Planning;

namespace DistTrain.Core.Tests.Planning;

public class SampleTimeTests
{
    /// <summary>Seconds per sample that differ by up to a factor of a million.</summary>
    private static readonly Gen<double> Seconds = Gen.Double[-5, 1].Select(exponent => Math.Pow(10, exponent));

    /// <summary>Numbers of samples: full steps, short ones, a single block.</summary>
    private static readonly Gen<int> Samples = Gen.Int[1, 100_000];

    [Fact]
    public void The_first_step_is_warm_up_and_only_an_expectation()
    {
        var time = Of((10, 5.0));
        Assert.Equal((null, 0.5), (time.Measured, time.Expected));
        Take(time, 10, 1.0);
        Assert.Equal((0.1, 0.1), (time.Measured, time.Expected));
    }

    [Fact]
    public void The_number_of_samples_does_not_matter() =>
        Gen.Select(Seconds, Samples.Array[2, 8]).Always((seconds, samples) =>
            Assert.Equal(seconds, Of([.. samples.Select(n => (n, n * seconds))]).Measured!.Value, seconds * 1e-9));

    [Fact]
    public void One_step_that_is_out_of_line_changes_nothing() =>
        Gen.Select(Seconds, Seconds, Gen.Int[0, 5]).Always((seconds, other, before) =>
        {
            var time = Of([.. Enumerable.Repeat((100, 100 * seconds), 3 + before)]);
            foreach (var next in new[] { other, seconds, seconds, other, seconds })
            {
                Take(time, 100, 100 * next);
                Assert.Equal(seconds, time.Measured!.Value, seconds * 1e-9);
            }
        });

    [Fact]
    public void A_change_counts_from_the_second_step_on_in_which_it_is_measured() =>
        Gen.Select(Seconds, Seconds, Gen.Int[0, 5]).Always((seconds, changed, before) =>
        {
            var time = Of([.. Enumerable.Repeat((100, 100 * seconds), 3 + before)]);
            Take(time, 100, 100 * changed);
            Take(time, 7, 7 * changed);
            Assert.Equal(changed, time.Measured!.Value, changed * 1e-9);
        });

    [Fact]
    public void It_is_never_outside_of_what_was_measured_last() =>
        Seconds.Array[2, 20].Always(seconds =>
        {
            var time = Of([.. seconds.Select(s => (1, s))]);
            var last = seconds.Skip(Math.Max(1, seconds.Length - 3)).ToList();
            Assert.InRange(time.Measured!.Value, last.Min(), last.Max());
        });

    [Fact]
    public void A_step_without_blocks_says_nothing_and_what_was_measured_before_it_does_not_outvote_what_comes()
    {
        var time = Of((1, 1.0), (1, 8.0), (1, 8.0), (1, 8.0));
        time.Take(0, 0, TimeSpan.FromSeconds(9));
        Assert.Equal((8.0, TimeSpan.Zero), (time.Measured, time.MeasuredAt));
        time.Take(1, 2, TimeSpan.FromSeconds(10));
        Assert.Equal((2.0, TimeSpan.FromSeconds(10)), (time.Measured, time.MeasuredAt));
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    [InlineData(-1)]
    [InlineData(0)]
    public void What_no_clock_shows_is_passed_over(double seconds)
    {
        var time = Of((1, 1.0), (1, 2.0));
        Take(time, 1, seconds);
        Take(time, 1, seconds);
        Assert.Equal(2, time.Measured);
    }

    [Fact]
    public void However_small_or_large_a_planner_can_use_it()
    {
        foreach (var seconds in new[] { 1e-300, 1e300 })
        {
            var measured = Of((1, seconds), (1, seconds)).Measured!.Value;
            Assert.InRange(measured, 1e-9, 1e6);
        }
    }

    private static SampleTime Of(params (int Samples, double Seconds)[] steps)
    {
        var time = new SampleTime();
        foreach (var (samples, seconds) in steps)
        {
            Take(time, samples, seconds);
        }

        return time;
    }

    private static void Take(SampleTime time, int samples, double seconds) => time.Take(samples, seconds, TimeSpan.Zero);
}
