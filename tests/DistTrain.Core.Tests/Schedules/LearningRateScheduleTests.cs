using CsCheck;
using DistTrain.Core.Schedules;

namespace DistTrain.Core.Tests.Schedules;

public class LearningRateScheduleTests
{
    private static readonly LearningRateSchedule Constant =
        new(ScheduleShape.Constant, Rate: 0.4, WarmupSamples: 0, TotalSamples: 10_000, StepSamples: 0, 0, FinalRate: 0);

    private static readonly LearningRateSchedule Cosine =
        Constant with { Shape = ScheduleShape.Cosine, WarmupSamples = 1000, FinalRate = 0.02 };

    private static readonly LearningRateSchedule Step =
        Constant with { Shape = ScheduleShape.Step, WarmupSamples = 1000, StepSamples = 3000, StepFactor = 0.1 };

    [Fact]
    public void A_constant_rate_stays() =>
        Gen.Select(Gen.Long[0, 1L << 50], Gen.Long[1, 1L << 40]).Always((before, samples) =>
            Assert.Equal(0.4, Constant.RateOf(before, samples)));

    [Theory]
    [InlineData(ScheduleShape.Constant)]
    [InlineData(ScheduleShape.Step)]
    [InlineData(ScheduleShape.Cosine)]
    public void Warm_up_rises_by_equal_increments_to_the_full_rate(ScheduleShape shape)
    {
        var schedule = Cosine with { Shape = shape };
        for (var step = 1; step <= 10; step++)
        {
            Assert.Equal(0.04 * step, schedule.RateOf((step - 1) * 100, 100), 1e-15);
        }

        Assert.Equal(0.4, schedule.RateOf(900, 100));
        Assert.Equal(0.4, schedule.RateOf(1000, 100));
    }

    [Fact]
    public void A_step_that_crosses_the_end_of_warm_up_has_the_full_rate() =>
        Assert.Equal(0.4, Cosine.RateOf(950, 100));

    [Fact]
    public void A_cosine_starts_at_the_full_rate_and_ends_at_the_final_one()
    {
        Assert.Equal(0.4, Cosine.RateOf(1000, 1));
        Assert.Equal(0.21, Cosine.RateOf(5500, 1), 1e-15);
        Assert.Equal(0.02, Cosine.RateOf(10_000, 1), 1e-15);
        Assert.Equal(0.02, Cosine.RateOf(1L << 50, 1), 1e-15);
    }

    [Fact]
    public void A_cosine_never_rises()
    {
        var rates = Enumerable.Range(0, 91).Select(step => Cosine.RateOf(1000 + step * 100, 100)).ToList();
        Assert.All(rates.Zip(rates.Skip(1)), pair => Assert.True(pair.First > pair.Second));
    }

    [Fact]
    public void Step_decay_multiplies_at_equal_distances_after_warm_up()
    {
        var rates = new long[] { 1000, 3999, 4000, 6999, 7000, 10_000 }.Select(before => Step.RateOf(before, 50));
        Assert.Equal([0.4, 0.4, 0.04, 0.04, 0.004, 0.0004], rates.Select(r => Math.Round(r, 12)));
    }

    [Fact]
    public void The_rate_does_not_move_with_the_global_batch() =>
        Gen.Select(Gen.Long[2, 1000], Gen.Long[2, 1000], Gen.Int[0, 2]).Always((one, other, shape) =>
        {
            var schedule = Cosine with { Shape = (ScheduleShape)shape, StepSamples = 3000, StepFactor = 0.1 };

            // Warm-up is a function of the sample a step ends with, decay of the one it starts with, however many lie
            // between.
            Assert.Equal(schedule.RateOf(1000 - one, one - 1), schedule.RateOf(1000 - other, other - 1));
            foreach (var before in new long[] { 1000, 2500, 4000, 9999 })
            {
                Assert.Equal(schedule.RateOf(before, one), schedule.RateOf(before, other));
            }
        });

    [Fact]
    public void Degenerate_lengths_give_finite_rates()
    {
        Assert.Equal(0.4, (Cosine with { TotalSamples = 1000 }).RateOf(1000, 10));
        Assert.Equal(0.02, (Cosine with { TotalSamples = 0 }).RateOf(2000, 10), 1e-15);
        Assert.Equal(0.4, (Step with { StepSamples = 0 }).RateOf(1000, 10));
        Assert.Equal(0, (Step with { StepSamples = 1 }).RateOf(1L << 50, 10));
    }
}
