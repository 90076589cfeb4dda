using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Launching;

/// <summary>What a process of a local run says is filed, where there is room for it.</summary>
public sealed class ChildProcessTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task What_it_says_is_filed_and_its_last_lines_are_at_hand()
    {
        Assert.Equal(["3", "4", "5", "6", "7"], await TailAsync(_folder["log"]));
        Assert.Equal("1\n2\n3\n4\n5\n6\n7\n", File.ReadAllText(_folder["log"]));
    }

    [Fact]
    public async Task A_full_disk_takes_the_log_and_nothing_else() => Assert.Equal(["3", "4", "5", "6", "7"], await TailAsync("/dev/full"));

    private static async Task<IReadOnlyList<string>> TailAsync(string log)
    {
        using var child = ChildProcess.Start("seq", new ChildCommand("seq", []), ["7"], new Dictionary<string, string?>(), log, TimeProvider.System);
        Assert.Equal("1", await child.FirstLine.WaitAsync(TestContext.Current.CancellationToken));
        Assert.Equal(0, await child.Exit.WaitAsync(TestContext.Current.CancellationToken));
        return child.Tail();
    }
}
