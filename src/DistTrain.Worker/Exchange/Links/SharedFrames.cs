using System.Net.Sockets;
using System.Runtime.CompilerServices;
using DistTrain.Protocol.Exchange;
using Google.Protobuf;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// A call between two processes of one host: frames lie in shared memory, and a socket wakes whoever waits. The socket also proves life: the system closes it with the
/// process.
/// </summary>
internal sealed class SharedFrames<TSent, TReceived> : IFrameStream<TSent, TReceived>
    where TSent : IBufferMessage, IMessage<TSent>
    where TReceived : IBufferMessage, IMessage<TReceived>
{
    private static readonly byte[] Bell = [1];

    private readonly SharedSegment _segment;
    private readonly Socket _socket;
    private readonly SharedRing _out;
    private readonly SharedRing _in;
    private readonly HeadCodec<TReceived> _codec;
    private readonly AsyncSignal _room = new(runsInline: false);
    private readonly AsyncSignal _frame = new(runsInline: true);
    private readonly CancellationTokenSource _over = new();
    private readonly Task _listening;
    private volatile bool _isLost;
    private volatile bool _awaitsRoom;
    private bool _isHolding;

    /// <summary>A call over a segment that both ends have mapped.</summary>
    /// <param name="segment">The segment; the call's from here on.</param>
    /// <param name="socket">The connection between the two; the call's from here on.</param>
    /// <param name="isOwner">Whether this is the owner's end.</param>
    /// <param name="codec">Reads what comes in.</param>
    public SharedFrames(SharedSegment segment, Socket socket, bool isOwner, HeadCodec<TReceived> codec)
    {
        (_segment, _socket, _codec) = (segment, socket, codec);
        (_out, _in) = (segment.Ring(toOwner: !isOwner), segment.Ring(toOwner: isOwner));
        Payload = ChunkPayload.Empty;

        // Who rings must not wait until he is heard: he may have to read, so that the other end can listen.
        socket.Blocking = false;
        _listening = ListenAsync();
    }

    /// <inheritdoc/>
    public string Transport => Transports.SharedMemory;

    /// <inheritdoc/>
    public TReceived Head => _codec.Head;

    /// <inheritdoc/>
    /// <remarks>Nobody is asked: numbers lie in shared memory already, and are copied once.</remarks>
    public Func<TReceived, int, CancellationToken, ValueTask<ChunkPayload?>>? Place { get; set; }

    /// <inheritdoc/>
    public ChunkPayload Payload { get; private set; }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> MoveNextAsync(CancellationToken cancellation)
    {
        if (_isHolding)
        {
            _isHolding = false;
            Wake(_in.Acknowledge());
        }

        // The receiving half goes on within the listening one, which hears no bell meanwhile: so it looks for the sending half.
        if (_awaitsRoom && _out.MayHaveRoom)
        {
            _room.Set();
        }

        while (!_in.HasFrame)
        {
            cancellation.ThrowIfCancellationRequested();

            // What came before the other process ended is still there: so it is asked first whether it has, then whether there is a frame.
            var isLost = _isLost;
            if (!_in.AwaitFrame())
            {
                break;
            }

            if (isLost)
            {
                return false;
            }

            await _frame.WaitAsync(cancellation);
        }

        Payload = _in.Read(_codec);
        _isHolding = true;
        return true;
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask SendAsync(TSent head, ChunkPayload payload, CancellationToken cancellation)
    {
        while (!_out.HasRoom)
        {
            cancellation.ThrowIfCancellationRequested();
            if (!_out.AwaitRoom())
            {
                break;
            }

            if (_isLost)
            {
                throw new IOException("it ended the call");
            }

            _awaitsRoom = true;
            await _room.WaitAsync(cancellation);
            _awaitsRoom = false;
        }

        Wake(_out.Write(head, payload));
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_over.IsCancellationRequested)
        {
            return;
        }

        await _over.CancelAsync();
        await _listening;
        _socket.Dispose();
        _segment.Dispose();
        _over.Dispose();
    }

    private void Wake(bool isNeeded)
    {
        if (!isNeeded || _isLost)
        {
            return;
        }

        // Where the socket is full, the other end has bells to hear, and looks for what is new when it hears them. Where the other process is gone, the listening half learns of it for itself.
        _socket.Send(Bell, SocketFlags.None, out _);
    }

    private async Task ListenAsync()
    {
        var bells = new byte[64];
        try
        {
            while (await _socket.ReceiveAsync(bells, SocketFlags.None, _over.Token) > 0)
            {
                _room.Set();
                _frame.Set();
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // As good as the end.
        }

        _isLost = true;
        _room.Set();
        _frame.Set();
    }
}
