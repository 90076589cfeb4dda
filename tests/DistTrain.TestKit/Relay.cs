using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace DistTrain.TestKit;

/// <summary>The two sides of a <see cref="Relay"/>.</summary>
public enum Side
{
    /// <summary>None of them.</summary>
    Neither,

    /// <summary>Who dialled the relay.</summary>
    Dialer,

    /// <summary>Whom the relay dials.</summary>
    Target,
}

/// <summary>
/// Stands between two programs that speak TCP and can be cut, as when a host loses its power, or silenced, as when a network drops every packet
/// without a word.
/// </summary>
public sealed class Relay : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private volatile IPEndPoint _target;
    private readonly ConcurrentBag<Socket> _sockets = [];
    private readonly CancellationTokenSource _ended = new();
    private readonly Task _accepting;
    private readonly TaskCompletionSource _lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile Side _silent = Side.Neither;
    private long _left = long.MaxValue;

    /// <summary>Opens a relay.</summary>
    /// <param name="target">The other side of it, an address on loopback.</param>
    public Relay(Uri target)
    {
        _target = new IPEndPoint(IPAddress.Loopback, target.Port);
        _listener.Start();
        Address = new UriBuilder(Uri.UriSchemeHttp, "127.0.0.1", ((IPEndPoint)_listener.LocalEndpoint).Port).Uri;
        _accepting = AcceptAsync();
    }

    /// <summary>This side of it.</summary>
    public Uri Address { get; }

    /// <summary>Resets every connection; those that come now go to another program.</summary>
    public void Turn(Uri target)
    {
        Lead(target);
        Reset();
    }

    /// <summary>Connections that come now go to another program; those there are stay as they are.</summary>
    public void Lead(Uri target) => _target = new IPEndPoint(IPAddress.Loopback, target.Port);

    /// <summary>Resets every connection, and reaches nobody from then on, when the target has said so many bytes more.</summary>
    /// <returns>Completed when that has happened.</returns>
    public Task LoseAfterAsync(long bytes)
    {
        Interlocked.Exchange(ref _left, bytes);
        return _lost.Task;
    }

    /// <summary>Resets every connection and lets none in any more.</summary>
    public void Cut()
    {
        _listener.Stop();
        Reset();
    }

    /// <summary>Resets every connection; new ones are let in.</summary>
    public void Reset()
    {
        while (_sockets.TryTake(out var socket))
        {
            // Closing with a timeout of 0 resets the connection.
            socket.Close(0);
        }
    }

    /// <summary>Swallows what one side says from now on; the connections stay open.</summary>
    public void Silence(Side side) => _silent = side;

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        Cut();
        await _accepting;
        _ended.Dispose();
    }

    private async Task AcceptAsync()
    {
        var pumps = new List<Task>();
        try
        {
            while (true)
            {
                var near = await _listener.AcceptSocketAsync(_ended.Token);
                var far = new Socket(SocketType.Stream, ProtocolType.Tcp);
                _sockets.Add(near);
                _sockets.Add(far);
                if (!await TryConnectAsync(far))
                {
                    near.Close(0);
                    continue;
                }

                (near.NoDelay, far.NoDelay) = (true, true);
                pumps.Add(PumpAsync(near, far, Side.Dialer));
                pumps.Add(PumpAsync(far, near, Side.Target));
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // Cut.
        }

        await Task.WhenAll(pumps);
    }

    private async Task<bool> TryConnectAsync(Socket far)
    {
        try
        {
            await far.ConnectAsync(_target, _ended.Token);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private async Task PumpAsync(Socket from, Socket to, Side speaker)
    {
        var buffer = new byte[1 << 16];
        try
        {
            while (await from.ReceiveAsync(buffer, _ended.Token) is > 0 and var count)
            {
                for (var sent = 0; sent < count && _silent != speaker;)
                {
                    sent += await to.SendAsync(buffer.AsMemory(sent, count - sent), _ended.Token);
                }

                if (speaker == Side.Target && Interlocked.Add(ref _left, -count) is <= 0 and var left && left + count > 0)
                {
                    Turn(new Uri("http://127.0.0.1:9"));
                    _lost.TrySetResult();
                }
            }

            to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            from.Close();
            to.Close();
        }
    }
}
