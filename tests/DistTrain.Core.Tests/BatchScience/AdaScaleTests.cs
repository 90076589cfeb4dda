using DistTrain.Core.BatchScience;

namespace DistTrain.Core.Tests.BatchScience;

/// <summary>AdaScale's gain, where it is known what it must be.</summary>
public sealed class AdaScaleTests
{
    [Fact]
    public void The_gain_lies_between_1_and_the_scale()
    {
        Assert.Equal(8, AdaScale.Gain(new GradientMoments(5, 0), 64, 512));
        Assert.Equal(8, AdaScale.Gain(new GradientMoments(5, -3), 64, 512));
        Assert.Equal(1, AdaScale.Gain(new GradientMoments(0, 2), 64, 512));
        Assert.Equal(1, AdaScale.Gain(new GradientMoments(-1, 2), 64, 512));
        Assert.Equal(1, AdaScale.Gain(default, 64, 512));
        Assert.Equal(0.5, AdaScale.Gain(new GradientMoments(5, 0), 64, 32));

        // A noise scale of the reference batch itself: (1 + 1) / (1 / 4 + 1).
        Assert.Equal(1.6, AdaScale.Gain(new GradientMoments(64, 1), 64, 256), 1e-15);
    }

    [Fact]
    public void A_step_of_the_reference_is_worth_one_to_the_last_bit()
    {
        var random = new Random(1);
        for (var i = 0; i < 1000; i++)
        {
            var batch = random.Next(1, 5000);
            Assert.Equal(1, AdaScale.Gain(new GradientMoments(random.NextDouble() * 1e3, random.NextDouble()), batch, batch));
        }
    }
}
