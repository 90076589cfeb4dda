using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using DistTrain.Protocol.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// Lets the exchange's frames share a worker's port with gRPC, so that whatever lets one pass, lets the other: a connection whose first byte is the exchange's mark goes to the
/// door, every other one to the server.
/// </summary>
/// <param name="door">Takes the exchange's connections.</param>
internal sealed class SharedPort(LinkDoor door) : IConnectionListenerFactory
{
    /// <inheritdoc/>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var socket = SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint);
        socket.Listen();
        return new(new Listener(socket, door));
    }

    private sealed class Listener : IConnectionListener
    {
        /// <summary>How long a connection may say nothing: as long as the server would wait for a request's headers.</summary>
        private static readonly TimeSpan Silence = TimeSpan.FromSeconds(30);

        private static readonly BlockPool.Factory Blocks = new();

        private readonly Socket _socket;
        private readonly LinkDoor _door;
        private readonly SocketConnectionContextFactory _factory = new(Options(), NullLogger.Instance);
        private readonly Channel<ConnectionContext> _served = Channel.CreateUnbounded<ConnectionContext>();
        private readonly CancellationTokenSource _over = new();
        private readonly Task _accepting;

        public Listener(Socket socket, LinkDoor door)
        {
            (_socket, _door, EndPoint) = (socket, door, socket.LocalEndPoint!);
            _accepting = Acceptor.RunAsync(socket.AcceptAsync, connection => _ = SortAsync(connection), door.Time, _over.Token);
        }

        public EndPoint EndPoint { get; }

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default) =>
            await _served.Reader.WaitToReadAsync(cancellationToken) && _served.Reader.TryRead(out var connection) ? connection : null;

        public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            await _over.CancelAsync();
            _socket.Dispose();
            await _accepting;
            _served.Writer.TryComplete();
        }

        public async ValueTask DisposeAsync()
        {
            await UnbindAsync();
            while (_served.Reader.TryRead(out var connection))
            {
                await connection.DisposeAsync();
            }

            _factory.Dispose();
        }

        /// <summary>
        /// The pool is for the transport's own listener to set; whoever accepts connections for it has no other way. Without it sockets are read in blocks of 4 KiB, at nearly twice the processor time.
        /// </summary>
        private static SocketConnectionFactoryOptions Options()
        {
            var options = new SocketConnectionFactoryOptions();
            try
            {
                SetPool(options, Blocks);
            }
            catch (MissingMethodException)
            {
                // Another version of the server; slower.
            }

            return options;

            [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "set_MemoryPoolFactory")]
            static extern void SetPool(SocketConnectionFactoryOptions options, IMemoryPoolFactory<byte> pools);
        }

        private async Task SortAsync(Socket connection)
        {
            try
            {
                connection.NoDelay = true;
                var first = new byte[1];
                using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_over.Token);
                deadline.CancelAfter(Silence);
                if (await connection.ReceiveAsync(first, SocketFlags.Peek, deadline.Token) == 0)
                {
                    connection.Dispose();
                }
                else if (first[0] == Introduction.Mark)
                {
                    _door.Take(connection);
                }
                else if (!_served.Writer.TryWrite(_factory.Create(connection)))
                {
                    connection.Dispose();
                }
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
            {
                connection.Dispose();
            }
        }
    }
}
