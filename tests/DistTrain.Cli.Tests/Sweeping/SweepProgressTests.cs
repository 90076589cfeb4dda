using DistTrain.Core.BatchScience;
using DistTrain.Sweeping;
using Microsoft.Extensions.Time.Testing;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Cli.Tests.Sweeping;

/// <summary>What a sweep tells while it trains.</summary>
public sealed class SweepProgressTests : IDisposable
{
    private const long Samples = 1000;
    private static readonly SweepCell First = new("sgd", 10, 0.1);
    private static readonly SweepCell Second = new("sgd", 20, 0.2);
    private readonly StringWriter _output = new();
    private readonly FakeTimeProvider _time = new();

    public void Dispose() => _output.Dispose();

    [Fact]
    public void The_time_left_is_told_from_the_first_run_on_that_is_done()
    {
        var progress = new SweepProgress(_output, 4, Samples, _time);
        var viewer = progress.Watch(First, resumes: false);
        Pass(viewer, 10, 600);
        Pass(viewer, 10, 1000);
        progress.Done(Result(First, 20));

        // 3,000 samples of 50 a second; then 1,000 + 500 in 36 s, and 2,500 to go.
        viewer = progress.Watch(Second, resumes: false);
        Pass(viewer, 6, 500);
        Pass(viewer, 10, 500);
        Assert.Equal(
            """
            0 of 4 done; sgd, batch 10, rate 0.1 at 60 %.
            0 of 4 done; sgd, batch 10, rate 0.1 at 100 %.
            1 of 4  sgd, batch 10, rate 0.1: validation loss 0.5 after 100 steps in 20 s, 1 min 0 s left.
            1 of 4 done; sgd, batch 20, rate 0.2 at 50 %, 1 min 0 s left.

            """,
            _output.ToString(),
            ignoreLineEndingDifferences: true);
    }

    [Fact]
    public void What_earlier_commands_have_trained_took_no_time_of_this_one()
    {
        var progress = new SweepProgress(_output, 4, Samples, _time);
        progress.Found();
        var viewer = progress.Watch(First, resumes: true);
        viewer.Show(Events.Step(80, 800));
        Pass(viewer, 4, 1000);
        progress.Done(Result(First, 4));

        // 200 samples in 4 s, and 2,000 to go.
        Assert.EndsWith("\n2 of 4  sgd, batch 10, rate 0.1: validation loss 0.5 after 100 steps in 4.0 s, 40 s left.\n", _output.ToString().ReplaceLineEndings("\n"), StringComparison.Ordinal);
        viewer = progress.Watch(Second, resumes: false);
        Pass(viewer, 1, 1000);
        progress.Done(Result(Second, 1));
        progress.Watch(First with { Seed = 1 }, resumes: false);
        progress.Done(Result(First with { Seed = 1 }, 1));
        Assert.EndsWith("\n4 of 4  sgd, batch 10, rate 0.1, seed + 1: validation loss 0.5 after 100 steps in 1.0 s.\n", _output.ToString().ReplaceLineEndings("\n"), StringComparison.Ordinal);
    }

    [Fact]
    public void Why_a_run_failed_on_a_full_disk_is_told_with_what_helps()
    {
        var viewer = new SweepProgress(_output, 1, Samples, _time).Watch(First, resumes: false);
        Assert.Equal("sgd, batch 10, rate 0.1: It failed; its folder is F. What is done stays: the same command goes on.", Sweep.Failure(First, "F", "It failed.", viewer.Trouble));

        viewer.Show(Events.Happening("worker 1 joined"));
        viewer.Show(new V1.RunEvent { Happening = new V1.Happening { Name = "checkpoint-failed", Sentence = "The checkpoint of step 4 was not written: No space left on device : 'F/a'." } });
        Assert.Equal(
            "sgd, batch 10, rate 0.1: It failed (The checkpoint of step 4 was not written: No space left on device : 'F/a'); its folder is F. "
            + "What is done stays: free space and run the same command again: it goes on.",
            Sweep.Failure(First, "F", "It failed.", viewer.Trouble));
    }

    private void Pass(SweepProgress.CellViewer viewer, double seconds, long samples)
    {
        _time.Advance(TimeSpan.FromSeconds(seconds));
        viewer.Show(Events.Step(samples / 10, samples));
    }

    private static CellResult Result(SweepCell cell, double seconds) =>
        new(new CellOutcome(cell, [new LossPoint(100, Samples, 0.5)], false, 0.4), [seconds], 100, new Dictionary<string, double>(), seconds, 100, 0);
}
