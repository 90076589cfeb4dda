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
    /// <param name="probe">By which the peer finds out whether it is on this host.</param>
    /// <param name="opening">Ends the attempt.</param>
    /// <param name="over">Ends the call, whenever.</param>
    /// <exception cref="RpcException">The peer is not reached, or does not belong to the generation.</exception>
    public async Task<IFrameStream<NodeChunk, ShardChunk>> OpenAsync(
        RunTag tag, int rank, int owner, HostProbe probe, CancellationToken opening, CancellationToken over)
    {
        var reasons = new List<string>();
        var wanted = settings.Transports.ToList();
        if (probe.Problem.Length > 0 && wanted.Remove(Transports.SharedMemory))
        {
            reasons.Add($"{Transports.SharedMemory}: {probe.Problem}");
        }

        IFrameStream<NodeChunk, ShardChunk>? call = null;
        while (wanted.Count > 0 && call is null)
        {
            (call, var tried, var reason) = await TryAsync(tag, rank, owner, probe, wanted, opening);
            reasons.AddRange(reason.Length > 0 ? [reason] : []);
            wanted.RemoveRange(0, wanted.IndexOf(tried) is var at and >= 0 ? at + 1 : wanted.Count);
        }

        Reason = string.Join("; ", reasons);
        return call ?? OpenGrpc(over);
    }

    /// <inheritdoc/>
    public void Dispose() => _channel.Dispose();

    /// <summary>Tries the way that the peer chooses.</summary>
    /// <returns>The call, or none; which way that was, empty for none; and why it was no better one, or why it failed.</returns>
    private async Task<(IFrameStream<NodeChunk, ShardChunk>? Call, string Tried, string Reason)> TryAsync(
        RunTag tag, int rank, int owner, HostProbe probe, IReadOnlyList<string> wanted, CancellationToken opening)
    {
        var request = new MeetRequest
        {
            Run = tag.Run,
            Term = tag.Term,
            Generation = tag.Generation,
            Rank = rank,
            Transports = { wanted },
            Probe = probe.Name,
            Proof = ByteString.CopyFrom(RandomNumberGenerator.GetBytes(Introduction.SecretBytes)),
        };
        MeetReply reply;
        try
        {
            using var call = _channel.CreateCallInvoker().AsyncUnaryCall(PeerContract.Meet, null, new CallOptions(cancellationToken: opening), request);
            reply = await call;
        }
        catch (RpcException e) when (e.StatusCode == StatusCode.Unimplemented)
        {
            return (null, "", "the other worker knows no other way");
        }

        if (!wanted.Contains(reply.Transport))
        {
            return (null, "", reply.Reason);
        }

        try
        {
            if (reply.Transport == Transports.SharedMemory && !probe.IsSeenAs(reply.Content.Span))
            {
                throw new InvalidDataException("the other worker reads something else in a file of that name");
            }

            return (await ConnectAsync(tag, request, owner, reply, opening), reply.Transport, reply.Reason);
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException or InvalidDataException or OperationCanceledException
            && !opening.IsCancellationRequested)
        {
            var failed = $"{reply.Transport}: {(e is OperationCanceledException ? "no answer in time" : e.Message.TrimEnd('.'))}";
            return (null, reply.Transport, reply.Reason.Length > 0 ? $"{reply.Reason}; {failed}" : failed);
        }
    }

    private async Task<IFrameStream<NodeChunk, ShardChunk>> ConnectAsync(RunTag tag, MeetRequest request, int owner, MeetReply reply, CancellationToken opening)
    {
        // What does not answer must leave time for what is tried next.
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(opening);
        deadline.CancelAfter(connectTimeout / 4);
        var isShared = reply.Transport == Transports.SharedMemory;
        var socket = isShared
            ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            EndPoint end = isShared ? new UnixDomainSocketEndPoint($"\0{reply.Socket}") : new DnsEndPoint(address.DnsSafeHost, address.Port);
            await socket.ConnectAsync(end, deadline.Token);
            await new Introduction(tag, request.Rank, Secret(reply.Token)).SendAsync(socket, deadline.Token);
            var proof = await Introduction.ReceiveAsync(socket, Introduction.SecretBytes, deadline.Token);
            if (proof is null || !CryptographicOperations.FixedTimeEquals(proof, request.Proof.Span))
            {
                throw new InvalidDataException("what answers is not the other worker, but perhaps a proxy");
            }

            if (!isShared)
            {
                return new TcpFrames<NodeChunk, ShardChunk>(socket, HeadCodec.Shards());
            }

            var segment = await Handover.GiveAsync(socket, () => SharedSegment.Create(settings.Folder, tag, request.Rank, owner), deadline.Token);
            return new SharedFrames<NodeChunk, ShardChunk>(segment, socket, isOwner: false, HeadCodec.Shards());
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private GrpcFrames<NodeChunk, ShardChunk> OpenGrpc(CancellationToken over)
    {
        var grpc = _channel.CreateCallInvoker().AsyncDuplexStreamingCall(PeerContract.Exchange, null, new CallOptions(cancellationToken: over));
        return new GrpcFrames<NodeChunk, ShardChunk>(grpc.RequestStream, grpc.ResponseStream, grpc.Dispose);
    }

    private static byte[] Secret(ByteString token) =>
        token.Length == Introduction.SecretBytes ? token.ToByteArray() : throw new InvalidDataException("the other worker gave no token");
}
