using DistTrain.Core.BatchScience;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Tests.BatchScience;

/// <summary>What is said of a step depends on the steps before it, and not on the way there.</summary>
public sealed class NoiseTrackTests
{
    [Fact]
    public void A_run_that_went_back_says_what_one_that_did_not_says()
    {
        var (straight, back, from) = (new NoiseTrack(1), new NoiseTrack(1), new NoiseTrack(1));
        for (var step = 1; step <= 700; step++)
        {
            straight.Add(step, Moments(step, 1), Moments(step, 3));
            straight.Trim();
            back.Add(step, Moments(step, 1), Moments(step, 3));
            back.Trim();
            from.Add(step, Moments(step, 1), Moments(step, 3));
        }

        for (var step = 650; step <= 700; step++)
        {
            back.Add(step, Moments(step, 1), Moments(step, 3));
        }

        Assert.Equal(Bits(straight), Bits(back));
        Assert.Equal(Bits(straight), Bits(from));
        back.Add(690, Moments(690, 1), Moments(690, 3));
        Assert.NotEqual(Bits(straight), Bits(back));
        Assert.NotEqual(straight.Of().Plain!.Value, straight.Of().Preconditioned!.Value);
    }

    [Fact]
    public void Steps_without_moments_are_passed_over()
    {
        var track = new NoiseTrack(1);
        Assert.Equal((null, null), track.Of());
        for (var step = 1; step <= 60; step++)
        {
            track.Add(step, step % 2 == 0 ? Moments(step, 1) : null, null);
        }

        var (plain, preconditioned) = track.Of();
        Assert.Null(preconditioned);
        Assert.Equal(NoiseScale.Of([.. Enumerable.Range(1, 30).Select(i => Moments(2 * i, 1))], Hash64.NoiseKey(1, 60)).Low, plain!.Low);
        track.Clear();
        Assert.Equal((null, null), track.Of());
    }

    private static GradientMoments Moments(int step, double scale)
    {
        var random = new CounterRandom((ulong)step);
        return new GradientMoments(40 * scale * (1 + (0.2 * random.NextNormal())), 1 + (0.3 * random.NextNormal()));
    }

    private static (double, double, double, double, double) Bits(NoiseTrack track)
    {
        var (plain, preconditioned) = track.Of();
        return (plain!.Value, plain.Low, plain.High, preconditioned!.Value, preconditioned.Low);
    }
}
