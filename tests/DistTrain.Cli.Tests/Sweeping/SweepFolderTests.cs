using System.Net.Sockets;
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
        Assert.StartsWith($"The sweep's folder {_folder["sweep"]} cannot be written: ", Assert.Throws<SweepException>(() => SweepFolder.Take(_folder["sweep"])).Message, StringComparison.Ordinal);
    }
}
