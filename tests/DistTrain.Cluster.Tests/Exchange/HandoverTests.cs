using System.Net.Sockets;
using DistTrain.TestKit;
using DistTrain.Worker.Exchange.Links;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>How memory comes from caller to owner, and that none is shared with somebody who has not mapped the same.</summary>
public sealed class HandoverTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public HandoverTests()
    {
        Directory.CreateDirectory(_folder.At("one"));
        Directory.CreateDirectory(_folder.At("two"));
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Both_have_the_same_memory_and_its_name_is_gone()
    {
        var (near, far) = await Sockets.ConnectedAsync(_folder.At("socket"));
        using (near)
        using (far)
        {
            var giving = Handover.GiveAsync(near, Create, TestContext.Current.CancellationToken);
            using var taken = await Handover.TakeAsync(far, _folder.At("one"), TestContext.Current.CancellationToken);
            using var given = await giving;
            Assert.Equal(given.Content.ToArray(), taken!.Content.ToArray());
            Assert.True(taken.Ring(toOwner: true).AwaitFrame());
            Assert.True(given.Ring(toOwner: true).Write(new Protocol.V1.NodeChunk(), Protocol.Exchange.ChunkPayload.Empty));
            Assert.True(taken.Ring(toOwner: true).HasFrame);
            Assert.Empty(Directory.GetFiles(_folder.At("one")));
        }
    }

    [Fact]
    public async Task An_owner_that_does_not_find_it_is_given_nothing()
    {
        var (near, far) = await Sockets.ConnectedAsync(_folder.At("socket"));
        using (near)
        {
            var giving = Handover.GiveAsync(near, Create, TestContext.Current.CancellationToken);
            await Assert.ThrowsAsync<FileNotFoundException>(() => Handover.TakeAsync(far, _folder.At("two"), TestContext.Current.CancellationToken));
            far.Dispose();
            Assert.Equal("the other worker cannot use this one's segment", (await Assert.ThrowsAsync<InvalidDataException>(() => giving)).Message);
            Assert.Empty(Directory.GetFiles(_folder.At("one")));
        }
    }

    [Fact]
    public async Task An_owner_that_finds_another_of_that_name_is_given_nothing()
    {
        var (near, far) = await Sockets.ConnectedAsync(_folder.At("socket"));
        using (near)
        using (far)
        {
            var giving = Handover.GiveAsync(near, Create, TestContext.Current.CancellationToken);
            var name = Path.GetFileName(Assert.Single(Directory.GetFiles(_folder.At("one"))));
            using (var other = new FileStream(_folder.At($"two/{name}"), FileMode.CreateNew))
            {
                other.SetLength(new FileInfo(_folder.At($"one/{name}")).Length);
            }

            using var taken = await Handover.TakeAsync(far, _folder.At("two"), TestContext.Current.CancellationToken);
            Assert.Equal("the other worker reads something else in this one's segment", (await Assert.ThrowsAsync<InvalidDataException>(() => giving)).Message);
        }
    }

    [Fact]
    public async Task A_caller_that_has_no_room_for_it_after_all_says_why_and_the_owner_goes_without()
    {
        var (near, far) = await Sockets.ConnectedAsync(_folder.At("socket"));
        using (far)
        {
            var why = await Assert.ThrowsAsync<IOException>(() => Handover.GiveAsync(near, () => throw new IOException("no room"), TestContext.Current.CancellationToken));
            Assert.Equal("no room", why.Message);
            near.Dispose();
            Assert.Null(await Handover.TakeAsync(far, _folder.At("one"), TestContext.Current.CancellationToken));
        }
    }

    private SharedSegment Create() => SharedSegment.Create(_folder.At("one"), default, 0, 1);
}

/// <summary>Pairs of sockets as two processes of one host have them.</summary>
internal static class Sockets
{
    /// <summary>A connected pair.</summary>
    /// <param name="path">A name for it, of a file that is not there yet.</param>
    public static async Task<(Socket Near, Socket Far)> ConnectedAsync(string path)
    {
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var end = new UnixDomainSocketEndPoint(path);
        listener.Bind(end);
        listener.Listen();
        var near = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await near.ConnectAsync(end, TestContext.Current.CancellationToken);
        return (near, await listener.AcceptAsync(TestContext.Current.CancellationToken));
    }
}
