using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Launching;

/// <summary>What a command says when it is asked to end.</summary>
public sealed class StopNoticeTests
{
    private readonly List<string> _said = [];

    [Fact]
    public async Task It_is_said_when_asked_and_once()
    {
        using var stop = new CancellationTokenSource();
        using var notice = StopNotice.On(StopNotice.OfRun, _said.Add, stop.Token);
        Assert.Empty(_said);
        await stop.CancelAsync();
        await stop.CancelAsync();
        Assert.Equal([StopNotice.OfRun], _said);
    }

    [Fact]
    public async Task It_is_not_said_of_a_command_that_has_ended()
    {
        using var stop = new CancellationTokenSource();
        StopNotice.On(StopNotice.OfRun, _said.Add, stop.Token).Dispose();
        await stop.CancelAsync();
        Assert.Empty(_said);
    }

    [Theory]
    [InlineData(StopNotice.OfRun)]
    [InlineData(StopNotice.OfRuns)]
    public void It_tells_of_the_step_the_checkpoint_and_the_second_time(string sentence) =>
        Assert.All(["step", "checkpoint", "second Ctrl-C", "at once"], part => Assert.Contains(part, sentence, StringComparison.Ordinal));
}
