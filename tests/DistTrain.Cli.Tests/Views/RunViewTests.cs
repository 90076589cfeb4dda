using DistTrain.Views;

namespace DistTrain.Cli.Tests.Views;

/// <summary>What is known of a run after each event.</summary>
public sealed class RunViewTests
{
    [Fact]
    public void A_run_is_known_by_its_events()
    {
        var view = After(Events.Started(4, 40), Events.Step(1, 10, loss: 0.5, workers: 3, generation: 2), Events.Evaluation(1, 0.4, 0.9), Events.Happening("worker 2 joined"));
        Assert.Equal(("toy", 4L, 1L, 10L, 0.5, 3, 2UL), (view.Name, view.TotalSteps, view.Step, view.Samples, view.Loss, view.Workers, view.Generation));
        Assert.Equal((0.4, 0.9, "worker 2 joined"), (view.ValidationLoss, view.Metrics["accuracy"], view.Happening));
        Assert.Equal(0.25, view.Progress);
        Assert.Null(view.Finished);
        Assert.True(view.With(Events.Finished(true, "done")).Finished!.Success);
    }

    [Fact]
    public void A_run_that_ends_by_its_gain_says_how_long_it_will_be_with_every_step()
    {
        var (started, step) = (Events.Started(100, 1000), Events.Step(10, 100));
        started.Started.EndsByGain = true;
        (step.Step.Gain, step.Step.TotalSteps, step.Step.TotalSamples) = (2.5, 40, 400);
        var view = After(started, step);
        Assert.Equal((100L, 40L, 400L, 0.25), (view.MostSteps, view.TotalSteps, view.TotalSamples, view.Progress));
        Assert.Contains(", at most 100 steps of 10 samples", Words.Frame(view), StringComparison.Ordinal);
        Assert.Contains("step 10/40 (25 %), epoch 0, loss 1, rate 0.1 (gain 2.50), ", Words.Step(view), StringComparison.Ordinal);
        var json = JsonViewer.Translate(step)!;
        Assert.Equal((2.5, 40L, 400L), ((double)json["gain"]!, (long)json["totalSteps"]!, (long)json["totalSamples"]!));
        Assert.False(JsonViewer.Translate(Events.Step(1, 10))!.ContainsKey("gain"));
    }

    [Fact]
    public void Nothing_is_known_before_the_first_event()
    {
        var view = new RunView();
        Assert.Equal((0.0, null, false), (view.Progress, view.TimeLeft, view.HasStarted));
    }

    [Fact]
    public void Speed_is_smoothed_and_gives_the_time_left()
    {
        var view = After(Events.Started(4, 1000), Events.Step(1, 10, speed: 100), Events.Step(2, 20, speed: 200));
        Assert.Equal(110, view.SamplesPerSecond, 9);
        Assert.Equal(980 / 110.0, view.TimeLeft!.Value.TotalSeconds, 3);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(double.NaN)]
    [InlineData(-1)]
    public void A_step_without_a_speed_does_not_spoil_it(double speed) =>
        Assert.Equal(100, After(Events.Step(1, 10, speed: 100), Events.Step(2, 20, speed: speed)).SamplesPerSecond);

    [Fact]
    public void A_repeated_step_is_not_counted_twice() =>
        Assert.Equal(1, After(Events.Step(1, 10, skipped: true), Events.Step(1, 10, skipped: true), Events.Step(2, 20)).Skipped);

    [Fact]
    public void Progress_stays_within_its_bounds() =>
        Assert.Equal(1, After(Events.Started(1, 10), Events.Step(2, 30)).Progress);

    [Theory]
    [InlineData(0.42, "0.4 s")]
    [InlineData(42, "42 s")]
    [InlineData(90, "1 min 30 s")]
    [InlineData(7300, "2 h 1 min")]
    public void Durations_are_words(double seconds, string words) => Assert.Equal(words, Words.Span(TimeSpan.FromSeconds(seconds)));

    private static RunView After(params DistTrain.Protocol.V1.RunEvent[] events) => events.Aggregate(new RunView(), (view, e) => view.With(e));
}
