using System.Net.Sockets;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Exchange.Links;
using Microsoft.Extensions.Time.Testing;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>A door stays open, whatever comes to it.</summary>
public sealed class LinkDoorTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task No_fault_ends_accepting_and_none_is_tried_again_at_once()
    {
        var time = new FakeTimeProvider();
        using var over = new CancellationTokenSource();
        using var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var (asked, taken) = (0, new TaskCompletionSource<Socket>());
        var accepting = Acceptor.RunAsync(AcceptAsync, taken.SetResult, time, over.Token);
        Assert.Equal(2, asked);
        time.Advance(Acceptor.Pause - TimeSpan.FromMilliseconds(1));
        Assert.Equal(2, asked);
        time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Same(connection, await taken.Task.WaitAsync(Soon, TestContext.Current.CancellationToken));
        Assert.False(accepting.IsCompleted);
        await over.CancelAsync();
        await accepting.WaitAsync(Soon, TestContext.Current.CancellationToken);

        async ValueTask<Socket> AcceptAsync(CancellationToken cancellation)
        {
            switch (asked++)
            {
                case 0:
                    throw new SocketException((int)SocketError.ConnectionAborted);
                case 1:
                    throw new SocketException((int)SocketError.TooManyOpenSockets);
                case 2:
                    return connection;
                default:
                    await Task.Delay(Timeout.InfiniteTimeSpan, cancellation);
                    throw new InvalidOperationException("It was not cancelled.");
            }
        }
    }

    [Fact]
    public async Task Strangers_that_are_gone_are_not_counted_any_more()
    {
        var door = new LinkDoor(new PeerGroupDirectory(TimeProvider.System, Soon), TimeProvider.System);
        await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => Task.Run(() =>
        {
            // Each is gone before it has said anything.
            for (var i = 0; i < 20_000; i++)
            {
                door.Take(new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified));
            }
        })));
        await door.DisposeAsync();
        Assert.Equal(0, door.Strangers);
    }
}
