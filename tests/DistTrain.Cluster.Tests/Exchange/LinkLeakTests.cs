using System.Net.Sockets;
using System.Text;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using DistTrain.Worker.Exchange.Links;
using Google.Protobuf;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>What links hold of the system is given back with them. Alone, because it counts what the whole process holds.</summary>
[Collection(AloneInProcess.Name)]
public sealed class LinkLeakTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public LinkLeakTests() => Directory.CreateDirectory(_folder.At("one"));

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Links_that_are_over_leave_no_mapping_and_no_handle()
    {
        var handles = 0;
        for (var round = 0; round < 12; round++)
        {
            foreach (var transport in new[] { Transports.SharedMemory, Transports.Tcp })
            {
                await using var pair = await LinkedPair.StartAsync((_, s) => s with { Folder = _folder.At("one"), Transports = [transport] });
                await pair.LinkAsync();
                await pair.ReduceAsync(1, 1000);
            }

            handles = round == 3 ? Handles() : handles;
        }

        AssertNothingMapped();

        // One handle left behind by every pair would be 16 more. Some are closed a moment after their connection.
        Assert.InRange(Handles(), 0, handles + 8);

        static int Handles() => Directory.GetFiles("/proc/self/fd").Length;
    }

    [Fact]
    public async Task A_group_that_ends_while_it_is_being_linked_leaves_no_mapping()
    {
        for (var round = 0; round < 40; round++)
        {
            await using var pair = await LinkedPair.StartAsync((_, s) => s with { Folder = _folder.At("one"), Transports = [Transports.SharedMemory] });
            var linking = Task.WhenAll(pair.Groups.Select(g => g.LinkAsync(TestContext.Current.CancellationToken)));

            // From before the first message to when both are linked.
            for (var turn = 0; turn < round * 2 && !linking.IsCompleted; turn++)
            {
                await Task.Yield();
                Thread.SpinWait(round * 100);
            }

            await pair.EndAsync(0);
            await pair.EndAsync(1);
            await linking.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        }

        AssertNothingMapped();
    }

    [Fact]
    public async Task A_caller_that_hangs_up_before_it_is_answered_leaves_no_mapping()
    {
        await using (var pair = await LinkedPair.StartAsync((_, s) => s with { Folder = _folder.At("one"), Transports = [Transports.SharedMemory] }))
        {
            var tag = pair.Groups[1].Tag;
            using var probe = HostProbe.Create(new LinkSettings { Folder = _folder.At("one"), Transports = [Transports.SharedMemory] }, tag, 0);
            using var segment = SharedSegment.Create(_folder.At("one"), tag, 0, 1);
            var met = pair.Groups[1].Meet(new MeetRequest
            {
                Run = tag.Run,
                Term = tag.Term,
                Generation = tag.Generation,
                Rank = 0,
                Transports = { Transports.SharedMemory },
                Probe = probe.Name,
                Proof = ByteString.CopyFrom(new byte[Introduction.SecretBytes]),
            });
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint($"\0{met.Socket}"), TestContext.Current.CancellationToken);
            await new Introduction(tag, 0, met.Token.ToByteArray()).SendAsync(socket, TestContext.Current.CancellationToken);
            Assert.NotNull(await Introduction.ReceiveAsync(socket, Introduction.SecretBytes, TestContext.Current.CancellationToken));

            // Whatever is sent to one that takes nothing any more fails.
            socket.Shutdown(SocketShutdown.Receive);
            await Introduction.SendAsync(socket, (byte[])[(byte)segment.Name.Length, .. Encoding.ASCII.GetBytes(segment.Name)], TestContext.Current.CancellationToken);
            socket.Blocking = false;
            for (var fault = SocketError.Success; fault is SocketError.Success or SocketError.WouldBlock;)
            {
                await Task.Yield();
                socket.Send([0], SocketFlags.None, out fault);
            }
        }

        AssertNothingMapped();
    }

    private void AssertNothingMapped() =>
        Assert.DoesNotContain(File.ReadLines("/proc/self/maps"), line => line.Contains(_folder.Path, StringComparison.Ordinal));
}
