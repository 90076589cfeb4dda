using System.Net.Sockets;
using DistTrain.Core.Options;
using DistTrain.Sweeping;

namespace DistTrain.Cli.Tests.Sweeping;

/// <summary>A sweep's folder is one sweep's at a time, and what else keeps it from being taken is told as what it is.</summary>
public sealed class SweepFolderTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_folder_is_one_sweeps_until_that_has_ended()
    {
        using (SweepFolder.Take(_folder["sweep"]))
        {
            Assert.Equal(
                $"Another sweep works in {_folder["sweep"]}: wait for it, end it, or name another --out.", Assert.Throws<SweepException>(() => SweepFolder.Take(_folder["sweep"])).Message);
        }

        SweepFolder.Take(_folder["sweep"]).Dispose();
    }

    [Fact]
    public void A_lock_that_cannot_be_made_is_nobodys()
    {
        // As where the disk is full or may not be written, the system refuses to open the file, and nobody has it.
        Directory.CreateDirectory(_folder["sweep/cells"]);
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(_folder["sweep/sweep.lock"]));
        Assert.Matches(
            $"^The sweep's folder {_folder["sweep"]} cannot be written: .*\\. Let it be written and run the same command again: it goes on\\.$", Assert.Throws<SweepException>(() => SweepFolder.Take(_folder["sweep"])).Message);
    }

    [Fact]
    public void A_runs_folder_on_a_full_disk_is_told_as_that()
    {
        Fill("cell/config.yaml.tmp");
        var told = Assert.Throws<SweepException>(() => new CellFolder(CellState.New, []).Prepare(_folder["cell"], new RunOptions()));
        Assert.Matches($"^The run's folder {_folder["cell"]} cannot be written: .*(No space left|disk was full).*\\. Free space and run the same command again: it goes on\\.$", told.Message);
        Assert.False(told.IsUsage);
    }

    [Fact]
    public void A_runs_folder_that_cannot_be_made_is_not_told_as_one_that_holds_something()
    {
        _folder.File("cells", "a file, in which no folder can be made");
        var told = Assert.Throws<SweepException>(() => new CellFolder(CellState.New, []).Prepare(_folder["cells/cell"], new RunOptions()));
        Assert.Matches($"^The run's folder {_folder["cells/cell"]} cannot be made: .*\\. Let it be written and run the same command again: it goes on\\.$", told.Message);
    }

    [Fact]
    public void A_report_that_finds_the_disk_full_is_told_as_that()
    {
        using var swept = new SweptFolder();
        var cell = SweptFolder.Cells(64)[1];
        swept.Write(cell);
        var report = SweepReport.Of(swept.Settings([cell]), [swept.Read(cell)]);
        Fill(Path.Combine(swept.Path, "report.html.tmp"));
        var told = Assert.Throws<SweepException>(() => SweepFiles.Write(report));
        Assert.Matches($"^All runs are done, but report.html in {swept.Path} cannot be written: .*(No space left|disk was full).*\\. Free space and run the same command again: it goes on\\.$", told.Message);

        SweepFiles.Write(report);
        Assert.True(File.Exists(Path.Combine(swept.Path, "report.html")));
    }

    /// <summary>Puts a device in the place of a file that takes what a full disk takes.</summary>
    private void Fill(string file)
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "This system has no device that is always full.");
        Directory.CreateDirectory(Path.GetDirectoryName(_folder[file])!);
        File.CreateSymbolicLink(_folder[file], "/dev/full");
    }
}
