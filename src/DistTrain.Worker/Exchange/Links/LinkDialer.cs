using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// Opens calls to one peer, by the best way that works. Which one that is the two find out by gRPC, which is always there; it is also what remains where the others do not work.
/// </summary>
/// <param name="address">Where the peer is reached.</param>
/// <param name="connectTimeout">How long a connection may take.</param>
/// <param name="settings">What this worker uses.</param>
internal sealed class LinkDialer(Uri address, TimeSpan connectTimeout, LinkSettings settings) : IDisposable
{
    private readonly GrpcChannel _channel = GrpcDialer.Open(address, connectTimeout);

    /// <summary>Why no better way than the last one opened was taken; empty for no reason.</summary>
    public string Reason { get; private set; } = "";

    /// <summary>Opens a call. The peer's group learns of it by its first frame.</summary>
    /// <param name="tag">Run, term and generation.</param>
    /// <param name="rank">The own rank.</param>
    /// <param name="owner">The peer's.</param>
    /// <param name="opening">Ends the attempt.</param>
    /// <param name="over">Ends the call, whenever.</param>
    /// <exception cref="RpcException">The peer is not reached, or does not belong to the generation.</exception>
    public async Task<IFrameStream<NodeChunk, ShardChunk>> OpenAsync(
        RunTag tag, int rank, int owner, CancellationToken opening, CancellationToken over)
    {
        var wanted = settings.Transports.ToList();
        var reasons = new List<string>();
        while (wanted.Count > 0)
        {
            var tried = wanted[^1];
            using var attempt = new Attempt(tag, rank, wanted);
            try
            {
                attempt.CreateSegment(settings.Folder, owner);
                var reply = await MeetAsync(attempt.Request, opening);
                attempt.Segment?.Unlink();
                reasons.AddRange(reply.Reason.Length > 0 ? [reply.Reason] : []);
                if (!wanted.Contains(reply.Transport))
                {
                    break;
                }

                tried = reply.Transport;
                var call = await ConnectAsync(attempt, reply, opening);
                Reason = string.Join("; ", reasons);
                return call;
            }
            catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException or InvalidDataException or OperationCanceledException
                && !opening.IsCancellationRequested)
            {
                tried = attempt.Segment is null && wanted.Contains(Transports.SharedMemory) ? Transports.SharedMemory : tried;
                reasons.Add($"{tried}: {(e is OperationCanceledException ? "no answer in time" : e.Message.TrimEnd('.'))}");
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.Unimplemented)
            {
                reasons.Add("the other worker knows no other way");
                break;
            }

            wanted.RemoveRange(0, wanted.IndexOf(tried) + 1);
        }

        Reason = string.Join("; ", reasons);
        var grpc = _channel.CreateCallInvoker().AsyncDuplexStreamingCall(PeerContract.Exchange, null, new CallOptions(cancellationToken: over));
        return new GrpcFrames<NodeChunk, ShardChunk>(grpc.RequestStream, grpc.ResponseStream, grpc.Dispose);
    }

    /// <inheritdoc/>
    public void Dispose() => _channel.Dispose();

    private async Task<MeetReply> MeetAsync(MeetRequest request, CancellationToken cancellation)
    {
        using var call = _channel.CreateCallInvoker().AsyncUnaryCall(PeerContract.Meet, null, new CallOptions(cancellationToken: cancellation), request);
        return await call;
    }

    private async Task<IFrameStream<NodeChunk, ShardChunk>> ConnectAsync(Attempt attempt, MeetReply reply, CancellationToken opening)
    {
        var isShared = reply.Transport == Transports.SharedMemory;
        if (isShared && !attempt.Segment!.Content.SequenceEqual(reply.Content.Span))
        {
            throw new InvalidDataException("the other worker reads something else in a segment of that name");
        }

        // What does not answer must leave time for what is tried next.
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(opening);
        deadline.CancelAfter(connectTimeout / 4);
        var socket = isShared
            ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            EndPoint end = isShared ? new UnixDomainSocketEndPoint($"\0{reply.Socket}") : new DnsEndPoint(address.DnsSafeHost, address.Port);
            await socket.ConnectAsync(end, deadline.Token);
            await new Introduction(attempt.Tag, attempt.Request.Rank, Secret(reply.Token)).SendAsync(socket, deadline.Token);
            var proof = await Introduction.ReceiveAsync(socket, Introduction.SecretBytes, deadline.Token);
            return proof is null || !CryptographicOperations.FixedTimeEquals(proof, attempt.Request.Proof.Span)
                ? throw new InvalidDataException("what answers is not the other worker, but perhaps a proxy")
                : isShared ? new SharedFrames<NodeChunk, ShardChunk>(attempt.TakeSegment(), socket, isOwner: false, HeadCodec.Shards())
                : new TcpFrames<NodeChunk, ShardChunk>(socket, HeadCodec.Shards());
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static byte[] Secret(ByteString token) =>
        token.Length == Introduction.SecretBytes ? token.ToByteArray() : throw new InvalidDataException("the other worker gave no token");

    /// <summary>What is offered to the peer, and taken back where it does not come to a call.</summary>
    private sealed class Attempt(RunTag tag, int rank, IReadOnlyList<string> wanted) : IDisposable
    {
        public RunTag Tag => tag;

        public MeetRequest Request { get; } = new()
        {
            Run = tag.Run,
            Term = tag.Term,
            Generation = tag.Generation,
            Rank = rank,
            Transports = { wanted },
            Proof = ByteString.CopyFrom(RandomNumberGenerator.GetBytes(Introduction.SecretBytes)),
        };

        public SharedSegment? Segment { get; private set; }

        public void CreateSegment(string folder, int owner)
        {
            if (wanted.Contains(Transports.SharedMemory))
            {
                Segment = SharedSegment.Create(folder, tag, rank, owner);
                Request.Segment = Segment.Name;
            }
        }

        public SharedSegment TakeSegment()
        {
            var segment = Segment!;
            Segment = null;
            return segment;
        }

        public void Dispose() => Segment?.Dispose();
    }
}
