using DistTrain.Coordinator;
using DistTrain.TestKit;

namespace DistTrain.Cluster.Tests;

/// <summary>Lines are written whole and in order, whatever the disk does meanwhile.</summary>
public sealed class JsonLinesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly FullDisk _disk = new();

    private string File => Path.Combine(_folder.Path, "lines.jsonl");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Lines_that_found_no_room_are_written_later_in_order_and_none_is_torn()
    {
        using var lines = new JsonLines(File, _disk);
        lines.Append(new { Number = 1 });
        _disk.Fill(_ => true);
        lines.Append(new { Number = 2 });
        lines.Append(new { Number = 3 });
        Assert.Equal((2, FullDisk.Message), (lines.Waiting, lines.Trouble));
        Assert.NotEqual("{\"number\":1}\n", Text());
        Assert.StartsWith("{\"number\":1}\n", Text());

        _disk.Fill(_ => false);
        lines.Append(new { Number = 4 });
        Assert.Equal("{\"number\":1}\n{\"number\":2}\n{\"number\":3}\n{\"number\":4}\n", Text());
        Assert.Equal((0, 0, null), (lines.Waiting, lines.Lost, lines.Trouble));
    }

    [Fact]
    public void Of_more_lines_than_may_wait_the_oldest_are_lost_and_counted()
    {
        using var lines = new JsonLines(File, _disk, mostWaiting: 3);
        _disk.Fill(_ => true);
        for (var number = 1; number <= 5; number++)
        {
            lines.Append(new { number });
        }

        Assert.Equal((3, 2), (lines.Waiting, lines.Lost));
        _disk.Fill(_ => false);
        Assert.True(lines.TryWrite());
        Assert.Equal("{\"number\":3}\n{\"number\":4}\n{\"number\":5}\n", Text());
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("{}\n{}\n", "{}\n{}\n")]
    [InlineData("{}\n{\"half", "{}\n")]
    [InlineData("{\"half", "")]
    public void Of_a_file_that_a_killed_process_left_half_a_line_is_cut_off(string left, string kept)
    {
        System.IO.File.WriteAllText(File, left);
        using var lines = new JsonLines(File, _disk);
        lines.Append(new { });
        Assert.Equal(kept + "{}\n", Text());
    }

    [Fact]
    public void A_long_line_without_an_end_is_cut_off_too()
    {
        System.IO.File.WriteAllText(File, "{}\n" + new string('x', 10_000));
        using var lines = new JsonLines(File, _disk);
        lines.Append(new { });
        Assert.Equal("{}\n{}\n", Text());
    }

    private string Text()
    {
        using var reader = new StreamReader(new FileStream(File, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return reader.ReadToEnd();
    }
}
