using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace DistTrain.PlayedCluster.Network;

/// <summary>The cluster's name service, of what a client of Services needs: A records by UDP.</summary>
/// <param name="lookUp">The addresses of a full name; null where there is no such name.</param>
internal sealed class NameServer(Func<string, IReadOnlyList<IPAddress>?> lookUp)
{
    /// <summary>Where it listens.</summary>
    public const string Address = "10.96.0.10";

    private const int HeaderBytes = 12;
    private const ushort TypeA = 1;

    /// <summary>Answers until it is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        using var socket = new UdpClient(new IPEndPoint(IPAddress.Parse(Address), 53));
        while (!cancellation.IsCancellationRequested)
        {
            var question = await socket.ReceiveAsync(cancellation);
            if (Answer(question.Buffer) is { } answer)
            {
                await socket.SendAsync(answer, question.RemoteEndPoint, cancellation);
            }
        }
    }

    /// <summary>The answer to a question; null where it is none.</summary>
    public byte[]? Answer(ReadOnlySpan<byte> question)
    {
        if (question.Length < HeaderBytes || ReadName(question) is not var (name, end))
        {
            return null;
        }

        var type = BinaryPrimitives.ReadUInt16BigEndian(question[end..]);
        var addresses = lookUp(name);
        var found = type == TypeA && addresses is not null ? addresses : [];
        var answer = new List<byte>();
        void Write(int value) => answer.AddRange([(byte)(value >> 8), (byte)value]);
        answer.AddRange(question[..2]);

        // An answer, with authority and recursion; 3 is NXDOMAIN: no such name, of any type.
        Write(0x8580 | (addresses is null ? 3 : 0));
        Write(1);
        Write(found.Count);
        Write(0);
        Write(0);
        answer.AddRange(question[HeaderBytes..(end + 4)]);
        foreach (var address in found)
        {
            // The name of the question, an A record of class IN, that lives for no time.
            Write(0xC000 | HeaderBytes);
            Write(TypeA);
            Write(1);
            Write(0);
            Write(0);
            Write(4);
            answer.AddRange(address.GetAddressBytes());
        }

        return [.. answer];
    }

    /// <summary>The name that a question asks for, and where what follows it begins.</summary>
    private static (string Name, int End)? ReadName(ReadOnlySpan<byte> question)
    {
        var labels = new List<string>();
        var at = HeaderBytes;
        while (at < question.Length && question[at] is > 0 and < 64 and var length && at + 1 + length < question.Length)
        {
            labels.Add(Encoding.ASCII.GetString(question.Slice(at + 1, length)).ToLowerInvariant());
            at += 1 + length;
        }

        return at < question.Length && question[at] == 0 && at + 5 <= question.Length ? (string.Join('.', labels), at + 1) : null;
    }
}
