using CsCheck;
using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Options;

public class DurationTests
{
    [Theory]
    [InlineData("250ms", 250)]
    [InlineData("2s", 2_000)]
    [InlineData("0.5s", 500)]
    [InlineData("5m", 300_000)]
    [InlineData("1h", 3_600_000)]
    [InlineData("1.5H", 5_400_000)]
    [InlineData(" 2 s ", 2_000)]
    [InlineData("1e3ms", 1_000)]
    [InlineData("0s", 0)]
    public void A_number_and_a_unit_are_read(string text, double milliseconds)
    {
        Assert.True(Duration.TryParse(text, out var duration));
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), duration);
    }

    [Theory]
    [InlineData("")]
    [InlineData("2")]
    [InlineData("s")]
    [InlineData("two seconds")]
    [InlineData("-1s")]
    [InlineData("NaNs")]
    [InlineData("Infinitys")]
    [InlineData("1e30h")]
    [InlineData("1,5s")]
    [InlineData("00:00:02")]
    public void Anything_else_is_not(string text) => Assert.False(Duration.TryParse(text, out _));

    [Theory]
    [InlineData(0, "0ms")]
    [InlineData(0.0001, "0.0001ms")]
    [InlineData(500, "500ms")]
    [InlineData(1_500, "1500ms")]
    [InlineData(90_000, "90s")]
    [InlineData(120_000, "2m")]
    [InlineData(7_200_000, "2h")]
    public void A_duration_is_written_in_the_largest_unit_that_divides_it(double milliseconds, string text) =>
        Assert.Equal(text, Duration.Format(TimeSpan.FromMilliseconds(milliseconds)));

    private static readonly Gen<long> Ticks =
        Gen.OneOf(
            Gen.Long[0, 100_000],
            Gen.Long[0, long.MaxValue],
            Gen.Long[0, 10_000].Select(seconds => seconds * TimeSpan.TicksPerSecond));

    [Fact]
    public void What_is_written_reads_back_to_the_tick() =>
        Ticks.Always(
            ticks =>
            {
                Assert.True(Duration.TryParse(Duration.Format(new TimeSpan(ticks)), out var duration));
                Assert.Equal(ticks, duration.Ticks);
            },
            samples: 2000);

    [Fact]
    public void The_longest_duration_reads_back()
    {
        Assert.True(Duration.TryParse(Duration.Format(TimeSpan.MaxValue), out var duration));
        Assert.Equal(TimeSpan.MaxValue, duration);
    }

    [Fact]
    public void A_negative_duration_cannot_be_written() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Duration.Format(TimeSpan.FromSeconds(-1)));
}
