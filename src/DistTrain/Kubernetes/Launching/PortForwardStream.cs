using System.Net.WebSockets;
using System.Text;

namespace DistTrain.Kubernetes.Launching;

/// <summary>
/// One connection to a port of a pod, as the API server carries it in a WebSocket (<c>v4.channel.k8s.io</c>): every message begins with a channel, 0 for data and
/// 1 for errors, and each channel with two bytes that repeat the port. Nothing is read ahead, so what the reader leaves waits at the sender.
/// </summary>
internal sealed class PortForwardStream(WebSocket socket) : Stream
{
    private const byte Data = 0;
    private const int PortBytes = 2;
    private const int MostSent = 32 << 10;
    private const int MostError = 4 << 10;

    private readonly byte[] _received = new byte[64 << 10];
    private readonly StringBuilder _error = new();
    private ReadOnlyMemory<byte> _unread;
    private bool _isInside;
    private byte _channel;
    private int _dataToSkip = PortBytes;
    private int _errorToSkip = PortBytes;

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.Length == 0)
        {
            return 0;
        }

        while (_unread.Length == 0)
        {
            if (!await ReceiveAsync(cancellationToken))
            {
                return 0;
            }
        }

        var count = Math.Min(buffer.Length, _unread.Length);
        _unread[..count].CopyTo(buffer);
        _unread = _unread[count..];
        return count;
    }

    /// <inheritdoc/>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        for (var at = 0; at < buffer.Length; at += MostSent)
        {
            var part = buffer[at..Math.Min(at + MostSent, buffer.Length)];
            var message = new byte[part.Length + 1];
            message[0] = Data;
            part.CopyTo(message.AsMemory(1));
            try
            {
                await socket.SendAsync(message.AsMemory(), WebSocketMessageType.Binary, endOfMessage: true, cancellationToken);
            }
            catch (Exception broken) when (broken is WebSocketException or InvalidOperationException)
            {
                throw new IOException("The connection to the pod is broken.", broken);
            }
        }
    }

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            socket.Abort();
            socket.Dispose();
        }

        base.Dispose(disposing);
    }

    /// <summary>Takes one piece of a message.</summary>
    /// <returns>Whether there was one, and not the end.</returns>
    private async ValueTask<bool> ReceiveAsync(CancellationToken cancellation)
    {
        ValueWebSocketReceiveResult received;
        try
        {
            received = await socket.ReceiveAsync(_received.AsMemory(), cancellation);
        }
        catch (WebSocketException broken)
        {
            throw new IOException("The connection to the pod is broken.", broken);
        }

        if (received.MessageType == WebSocketMessageType.Close)
        {
            return false;
        }

        ReadOnlyMemory<byte> piece = _received.AsMemory(0, received.Count);
        if (!_isInside && piece.Length > 0)
        {
            _channel = piece.Span[0];
            piece = piece[1..];
        }

        _isInside = !received.EndOfMessage;
        if (_channel == Data)
        {
            _unread = Skip(piece, ref _dataToSkip);
        }
        else
        {
            _error.Append(Encoding.UTF8.GetString(Skip(piece, ref _errorToSkip).Span));
            if (_error.Length > 0 && (received.EndOfMessage || _error.Length > MostError))
            {
                throw new IOException($"The pod's port is not reached: {ClusterErrors.Trim(_error.ToString())}.");
            }
        }

        return true;
    }

    private static ReadOnlyMemory<byte> Skip(ReadOnlyMemory<byte> piece, ref int left)
    {
        var skipped = Math.Min(left, piece.Length);
        left -= skipped;
        return piece[skipped..];
    }
}
