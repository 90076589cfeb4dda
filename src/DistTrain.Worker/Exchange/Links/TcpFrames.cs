using System.Buffers.Binary;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DistTrain.Core.Layouts;
using DistTrain.Protocol.Exchange;
using Google.Protobuf;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// A call on a TCP connection. A frame is the length of its head, how many numbers it has, the head, the numbers. A frame is sent when the one before is with the system, whose
/// buffers bound what is under way, and numbers are received into the memory in which they are folded, or where they are to lie.
/// </summary>
internal sealed class TcpFrames<TSent, TReceived> : IFrameStream<TSent, TReceived>
    where TSent : IBufferMessage, IMessage<TSent>
    where TReceived : IBufferMessage, IMessage<TReceived>
{
    private const int LengthBytes = FrameSize.LengthBytes;

    /// <summary>Numbers that are few are sent in one piece with their head.</summary>
    private const int SmallBytes = 16 * 1024;

    private readonly Socket _socket;
    private readonly HeadCodec<TReceived> _codec;
    private readonly byte[] _out = GC.AllocateUninitializedArray<byte>(LengthBytes + FrameSize.HeadBytes + SmallBytes, pinned: true);
    private readonly byte[] _in = GC.AllocateUninitializedArray<byte>(LengthBytes + FrameSize.HeadBytes, pinned: true);
    private readonly NativeBytes _sending = new();
    private readonly NativeBytes _receiving = new();
    private int _first;
    private int _end;

    /// <summary>A call on a connection whose ends have proved themselves.</summary>
    /// <param name="socket">The connection; the call's from here on.</param>
    /// <param name="codec">Reads what comes in.</param>
    public TcpFrames(Socket socket, HeadCodec<TReceived> codec)
    {
        (_socket, _codec) = (socket, codec);
        socket.NoDelay = true;
        Payload = ChunkPayload.Empty;
    }

    /// <inheritdoc/>
    public string Transport => Transports.Tcp;

    /// <inheritdoc/>
    public TReceived Head => _codec.Head;

    /// <inheritdoc/>
    public ChunkPayload Payload { get; private set; }

    /// <inheritdoc/>
    public Func<TReceived, int, CancellationToken, ValueTask<ChunkPayload?>>? Place { get; set; }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> MoveNextAsync(CancellationToken cancellation)
    {
        Payload = ChunkPayload.Empty;
        if (!await FillAsync(LengthBytes, mayEnd: true, cancellation))
        {
            return false;
        }

        var (head, count) = (Number(0), Number(sizeof(int)));
        FrameSize.CheckReceived(head, count);
        if (head <= FrameSize.HeadBytes)
        {
            await FillAsync(LengthBytes + head, mayEnd: false, cancellation);
            _codec.Read(_in.AsSpan(_first + LengthBytes, head));
            _first += LengthBytes + head;
        }
        else
        {
            var bytes = new byte[head];
            _first += LengthBytes;
            await ReceiveAsync(bytes, cancellation);
            _codec.Read(bytes);
        }

        Payload = await ReceiveAsync(count, cancellation);
        return true;
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask SendAsync(TSent head, ChunkPayload payload, CancellationToken cancellation)
    {
        var length = head.CalculateSize();
        FrameSize.CheckSent(length, payload.Count);
        var frame = length <= FrameSize.HeadBytes ? _out : new byte[LengthBytes + length];
        BinaryPrimitives.WriteInt32LittleEndian(frame, length);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(sizeof(int)), payload.Count);
        head.WriteTo(frame.AsSpan(LengthBytes, length));
        var bytes = LengthBytes + length;
        var isSmall = payload.Count * sizeof(float) <= SmallBytes;
        if (isSmall)
        {
            MemoryMarshal.AsBytes(payload.Values).CopyTo(frame.AsSpan(bytes));
            bytes += payload.Count * sizeof(float);
        }

        await SendAsync(frame.AsMemory(0, bytes), cancellation);
        if (!isSmall)
        {
            await SendAsync(_sending.Of(payload), cancellation);
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        return ValueTask.CompletedTask;
    }

    private int Number(int at) => BinaryPrimitives.ReadInt32LittleEndian(_in.AsSpan(_first + at));

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await _socket.SendAsync(bytes, SocketFlags.None, cancellation)..];
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ChunkPayload> ReceiveAsync(int count, CancellationToken cancellation)
    {
        var payload = (Place is null || count == 0 ? null : await Place(Head, count, cancellation)) ?? ChunkPayload.Rent(count);
        try
        {
            await ReceiveAsync(_receiving.Of(payload), cancellation);
            return payload;
        }
        catch
        {
            payload.Dispose();
            throw;
        }
    }

    /// <summary>Receives into memory, beginning with what is in the buffer already.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask ReceiveAsync(Memory<byte> left, CancellationToken cancellation)
    {
        var early = Math.Min(left.Length, _end - _first);
        _in.AsSpan(_first, early).CopyTo(left.Span);
        _first += early;
        left = left[early..];
        while (!left.IsEmpty)
        {
            var received = await _socket.ReceiveAsync(left, SocketFlags.None, cancellation);
            left = received > 0 ? left[received..] : throw new IOException("it ended the call within a message");
        }
    }

    /// <summary>Receives until so many bytes are in the buffer.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> FillAsync(int bytes, bool mayEnd, CancellationToken cancellation)
    {
        if (_end - _first >= bytes)
        {
            return true;
        }

        _in.AsSpan(_first.._end).CopyTo(_in);
        (_first, _end) = (0, _end - _first);
        while (_end < bytes)
        {
            var received = await _socket.ReceiveAsync(_in.AsMemory(_end), SocketFlags.None, cancellation);
            if (received == 0)
            {
                return mayEnd && _end == 0 ? false : throw new IOException("it ended the call within a message");
            }

            _end += received;
        }

        return true;
    }
}
