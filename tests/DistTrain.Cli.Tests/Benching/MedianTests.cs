using DistTrain.Benching;

namespace DistTrain.Cli.Tests.Benching;

/// <summary>The median of pairs and its interval.</summary>
public sealed class MedianTests
{
    [Fact]
    public void The_interval_is_the_one_of_the_tables()
    {
        // W. J. Conover's table for the sign test: of 15 values the 4th and the 12th enclose the median with probability 0.965, of 9 the 2nd and the 8th with 0.961.
        Assert.Equal(new Median(8, 4, 12, 15), Median.Of(Enumerable.Range(1, 15).Select(i => (double)i)));
        Assert.Equal(new Median(5, 2, 8, 9), Median.Of(Enumerable.Range(1, 9).Reverse().Select(i => (double)i)));
    }

    [Fact]
    public void An_even_number_of_values_has_the_mean_of_the_middle_two() => Assert.Equal(2.5, Median.Of([4, 1, 3, 2]).Value);

    [Fact]
    public void Few_values_have_no_interval_but_their_range() => Assert.Equal(new Median(2, 1, 3, 3), Median.Of([3, 2, 1]));

    [Fact]
    public void Nothing_has_no_median() => Assert.Throws<ArgumentOutOfRangeException>(() => Median.Of([]));
}
