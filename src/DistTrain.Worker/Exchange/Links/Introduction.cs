using System.Buffers.Binary;
using System.Net.Sockets;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// The first words on a connection that is none of gRPC's. The caller names what it belongs to and shows the token that it was given for this one connection; the owner answers
/// with the caller's secret. Both came by gRPC, so a stranger can say neither.
/// </summary>
/// <param name="Tag">Run, term and generation.</param>
/// <param name="Rank">The caller's.</param>
/// <param name="Token">What it was given.</param>
internal readonly record struct Introduction(RunTag Tag, int Rank, byte[] Token)
{
    /// <summary>Bytes of a token or secret.</summary>
    public const int SecretBytes = 32;

    /// <summary>The first byte, with which neither HTTP nor TLS begins.</summary>
    public const byte Mark = 0xD7;

    /// <summary>Bytes of an introduction.</summary>
    private const int Bytes = 8 + 3 * sizeof(ulong) + SecretBytes;

    private const byte Version = 1;

    /// <summary>Introduces the caller.</summary>
    public async Task SendAsync(Socket socket, CancellationToken cancellation)
    {
        var bytes = new byte[Bytes];
        (bytes[0], bytes[1]) = (Mark, Version);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(4), Rank);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(8), Tag.Run);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(16), Tag.Term);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(24), Tag.Generation);
        Token.CopyTo(bytes, 32);
        await SendAsync(socket, bytes, cancellation);
    }

    /// <summary>Sends so many bytes.</summary>
    public static async Task SendAsync(Socket socket, ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await socket.SendAsync(bytes, SocketFlags.None, cancellation)..];
        }
    }

    /// <summary>Hears a caller.</summary>
    /// <returns>Null where it speaks of something else.</returns>
    public static async Task<Introduction?> ReceiveAsync(Socket socket, CancellationToken cancellation)
    {
        var bytes = await ReceiveAsync(socket, Bytes, cancellation);
        return bytes is null || bytes[0] != Mark || bytes[1] != Version
            ? null
            : new Introduction(
                new RunTag(
                    BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(8)), BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(16)),
                    BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(24))),
                BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(4)), bytes[32..]);
    }

    /// <summary>Receives so many bytes.</summary>
    /// <returns>Null where the other end has ended before.</returns>
    public static async Task<byte[]?> ReceiveAsync(Socket socket, int count, CancellationToken cancellation)
    {
        var bytes = new byte[count];
        for (var at = 0; at < count;)
        {
            var received = await socket.ReceiveAsync(bytes.AsMemory(at), SocketFlags.None, cancellation);
            if (received == 0)
            {
                return null;
            }

            at += received;
        }

        return bytes;
    }
}
