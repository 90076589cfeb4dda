using DistTrain.Core.BatchScience;

namespace DistTrain.Core.Tests.BatchScience;

/// <summary>What another batch costs and saves, and how it is said.</summary>
public sealed class BatchTradeTests
{
    [Fact]
    public void At_the_critical_batch_steps_and_samples_are_twice_their_least()
    {
        var trade = new BatchTrade(100);
        Assert.Equal((2, 2), (trade.Steps(100), trade.Samples(100)));
        Assert.Equal((0.75, 1.5), trade.Change(100, 200));
        Assert.Equal((1.5, 0.75), trade.Change(100, 50));
    }

    [Fact]
    public void Steps_times_batch_are_samples() =>
        Assert.All(new[] { 1.0, 10, 100, 1000 }, batch =>
        {
            var trade = new BatchTrade(64);
            var (steps, samples) = trade.Change(32, batch);
            Assert.Equal(samples, steps * batch / 32, 1e-12);
        });

    [Fact]
    public void Advice_says_what_doubling_and_halving_do()
    {
        // Steps that do not vary: the interval is a point.
        var noise = NoiseScale.Of([.. Enumerable.Repeat(new GradientMoments(1234.4, 1), 30)], 1);
        Assert.Equal(
            "The noise scale is 1,230 samples (1,230 to 1,230); the global batch is 512. Doubling it would cost 29 % more samples and save 35 % of the steps, "
                + "halving it would save 15 % of the samples and cost 71 % more steps.",
            BatchTrade.Advice(noise, 512, 60_000));
        Assert.EndsWith("save 50 % of the steps.", BatchTrade.Advice(noise, 1, 60_000), StringComparison.Ordinal);
        Assert.Contains("cost less than 1 % more samples", BatchTrade.Advice(noise, 2, 60_000), StringComparison.Ordinal);
        Assert.Equal("The noise scale is not resolved: 0 of the 20 steps it takes are done.", BatchTrade.Advice(NoiseScale.Of([], 1), 512, 60_000));
    }

    /// <summary>A step holds the data at most: what changes nothing is not advised, and what changes something is so by the step's true size.</summary>
    [Theory]
    [InlineData(1000, 1437, "the global batch is 1,000. Raising it to all 1,437 samples of the data would cost 20 % more samples and save 17 % of the steps, halving it would save 22 % of the samples and cost 55 % more steps.")]
    [InlineData(1437, 1437, "the global batch is 1,437, all of the data. Halving it would save 27 % of the samples and cost 46 % more steps.")]
    [InlineData(5000, 1437, "the global batch is 5,000, and a step holds all of the data, 1,437 samples. A global batch of 718 would save 27 % of the samples and cost 46 % more steps.")]
    [InlineData(9, 1, "the global batch is 9, and a step holds all of the data, 1 sample.")]
    public void Advice_goes_by_what_a_step_can_hold(long batch, long dataSize, string advice)
    {
        var noise = NoiseScale.Of([.. Enumerable.Repeat(new GradientMoments(1234.4, 1), 30)], 1);
        Assert.Equal($"The noise scale is 1,230 samples (1,230 to 1,230); {advice}", BatchTrade.Advice(noise, batch, dataSize));
    }
}
