using System.Net.Sockets;
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
}
