using System.Net.Sockets;
using System.Security.Cryptography;
using DistTrain.Protocol.V1;
using Grpc.Core;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// Where peers' connections come in that are none of gRPC's: on a Unix-domain socket of this process, and on its port. A connection that does not introduce itself in time, or
/// not rightly, is closed without a word.
/// </summary>
internal sealed class LinkDoor : IAsyncDisposable
{
    /// <summary>Connections that have not introduced themselves yet: a bound on strangers, with room for all peers of a large run, which come at once.</summary>
    private const int MostStrangers = 4096;

    private const int Backlog = 512;

    private readonly PeerGroupDirectory _groups;
    private readonly TimeProvider _time;
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource _over = new();
    private readonly HashSet<Task> _calls = [];
    private readonly Task _accepting;
    private int _strangers;

    /// <summary>Opens it. Its name is an abstract one: nothing of it is left when the process ends.</summary>
    /// <param name="groups">The current generation.</param>
    /// <param name="time">The clock.</param>
    public LinkDoor(PeerGroupDirectory groups, TimeProvider time)
    {
        (_groups, _time) = (groups, time);
        Name = $"disttrain-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16))}";
        if (!OperatingSystem.IsLinux())
        {
            _accepting = Task.CompletedTask;
            return;
        }

        _listener.Bind(new UnixDomainSocketEndPoint($"\0{Name}"));
        _listener.Listen(Backlog);
        _accepting = Acceptor.RunAsync(_listener.AcceptAsync, Take, time, _over.Token);
    }

    /// <summary>The socket's name.</summary>
    public string Name { get; }

    /// <summary>The clock.</summary>
    public TimeProvider Time => _time;

    /// <summary>How many connections have not introduced themselves yet.</summary>
    public int Strangers
    {
        get
        {
            lock (_calls)
            {
                return _strangers;
            }
        }
    }

    /// <summary>By which ways a member of a run reaches others, and is reached.</summary>
    /// <param name="option">The value of <c>transport</c>.</param>
    public LinkSettings Settings(string option) => new()
    {
        Transports = [.. Transports.Of(option).Where(t => t != Transports.SharedMemory || OperatingSystem.IsLinux())],
        Socket = Name,
    };

    /// <summary>Takes a connection; its call is served until it ends.</summary>
    public void Take(Socket socket)
    {
        lock (_calls)
        {
            if (_over.IsCancellationRequested || _strangers == MostStrangers)
            {
                socket.Dispose();
                return;
            }

            _strangers++;
            var call = Task.Run(() => ServeAsync(socket));
            _calls.Add(call);
            _ = call.ContinueWith(Forget, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Task[] calls;
        lock (_calls)
        {
            _over.Cancel();
            calls = [.. _calls];
        }

        _listener.Dispose();
        await _accepting;
        await Task.WhenAll(calls);
        _over.Dispose();
    }

    private void Forget(Task call)
    {
        lock (_calls)
        {
            _calls.Remove(call);
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        var (group, rank, call) = (default(PeerGroup), 0, default(IFrameStream<ShardChunk, NodeChunk>));
        try
        {
            try
            {
                using var deadline = new CancellationTokenSource(_groups.Patience, _time);
                using var both = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, _over.Token);
                (group, rank, call) = await HearAsync(socket, both.Token);
                if (group is null || call is null || !await call.MoveNextAsync(both.Token) || call.Head.Operation != 0 || call.Head.Rank != rank)
                {
                    return;
                }
            }
            finally
            {
                lock (_calls)
                {
                    _strangers--;
                }
            }

            await group.ServeAsync(rank, call, _over.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or IOException or UnauthorizedAccessException or InvalidDataException or RpcException or ObjectDisposedException)
        {
            // The group knows why, where it is one's call; a stranger's is nobody's business.
        }
        finally
        {
            if (call is not null)
            {
                await call.DisposeAsync();
            }

            socket.Dispose();
        }
    }

    /// <summary>Lets a caller introduce itself.</summary>
    private async Task<(PeerGroup? Group, int Rank, IFrameStream<ShardChunk, NodeChunk>? Call)> HearAsync(Socket socket, CancellationToken cancellation)
    {
        if (await Introduction.ReceiveAsync(socket, cancellation) is not { } caller)
        {
            return default;
        }

        var group = await _groups.FindAsync(caller.Tag, cancellation);
        if (group.Claim(caller.Rank, caller.Token) is not { } meeting)
        {
            return default;
        }

        var isUnix = socket.AddressFamily == AddressFamily.Unix;
        if (isUnix != (meeting.Transport == Transports.SharedMemory))
        {
            return default;
        }

        await Introduction.SendAsync(socket, meeting.Proof, cancellation);
        if (!isUnix)
        {
            return (group, caller.Rank, new TcpFrames<ShardChunk, NodeChunk>(socket, HeadCodec.Nodes()));
        }

        return await Handover.TakeAsync(socket, meeting.Folder, cancellation) is { } segment
            ? (group, caller.Rank, new SharedFrames<ShardChunk, NodeChunk>(segment, socket, isOwner: true, HeadCodec.Nodes()))
            : default;
    }
}
