using System.Threading.Channels;
using DistTrain.Core.Layouts;
using DistTrain.Core.Reduction;
using DistTrain.Protocol;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.V1;
using DistTrain.Training.Native;
using Grpc.Core;
using NodeHeader = DistTrain.Core.Reduction.NodeHeader;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// The other ranks of one generation, reached by gRPC: an outgoing call to each owner, on which nodes go and its reduced shard comes back, and an
/// incoming call from each rank the other way round.
/// </summary>
internal sealed class PeerGroup : IPeerLinks, IAsyncDisposable
{
    private readonly RunTag _tag;
    private readonly int _rank;
    private readonly OutgoingLink?[] _outgoing;
    private readonly Channel<ShardSend>[] _shards;
    private readonly Task?[] _served;
    private bool _isOver;
    private readonly CancellationTokenSource _ended = new();
    private readonly CancellationTokenSource[] _links;
    private readonly TaskCompletionSource<BrokenLink> _broken = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _bytesSent;

    /// <summary>A group that is not linked yet.</summary>
    /// <param name="tag">Run, term and generation.</param>
    /// <param name="rank">The own rank.</param>
    /// <param name="addresses">Where each rank is reached, the own included.</param>
    /// <param name="connectTimeout">How long a connection may take.</param>
    public PeerGroup(RunTag tag, int rank, IReadOnlyList<Uri> addresses, TimeSpan connectTimeout)
    {
        _tag = tag;
        _rank = rank;
        Addresses = addresses;
        _links = [.. addresses.Select(_ => CancellationTokenSource.CreateLinkedTokenSource(_ended.Token))];
        _outgoing = [.. addresses.Select((address, owner) =>
            owner == rank ? null : new OutgoingLink(this, owner, address, connectTimeout))];
        _shards = [.. addresses.Select(_ => Channel.CreateUnbounded<ShardSend>(new UnboundedChannelOptions { SingleReader = true }))];
        _served = new Task?[addresses.Count];
    }

    /// <summary>Run, term and generation.</summary>
    public RunTag Tag => _tag;

    /// <summary>The own rank.</summary>
    public int Rank => _rank;

    /// <summary>Where each rank is reached.</summary>
    public IReadOnlyList<Uri> Addresses { get; }

    /// <summary>Each rank's number where a launcher gave one; empty where nobody asks.</summary>
    public IReadOnlyList<int> Numbers { get; init; } = [];

    /// <summary>How many ranks there are.</summary>
    public int WorldSize => _outgoing.Length;

    /// <summary>The all-reduces of this generation.</summary>
    public OperationTable Operations { get; } = new();

    /// <summary>The first link that breaks, or cannot be made.</summary>
    public Task<BrokenLink> Broken => _broken.Task;

    /// <summary>Gradient bytes sent so far.</summary>
    public long BytesSent => Interlocked.Read(ref _bytesSent);

    /// <summary>Opens a call to every other rank and has each answer.</summary>
    /// <returns>Whether all did; else <see cref="Broken"/> says which did not.</returns>
    public async Task<bool> LinkAsync(CancellationToken cancellation)
    {
        var opened = await Task.WhenAll(_outgoing.OfType<OutgoingLink>().Select(link => link.TryOpenAsync(cancellation)));
        return opened.All(o => o);
    }

    /// <summary>Breaks the calls to and from another worker, as a network would.</summary>
    /// <param name="number">Its number.</param>
    /// <returns>Whether it is a member.</returns>
    public bool Cut(int number)
    {
        var rank = Numbers.ToList().IndexOf(number);
        if (rank < 0 || rank == _rank)
        {
            return false;
        }

        _ = _links[rank].CancelAsync();
        return true;
    }

    /// <inheritdoc/>
    public void SendNode(ulong operation, ulong weightsHash, NodeId node, NativeVector values, NodeHeader header, ShardTable shards)
    {
        foreach (var link in _outgoing.OfType<OutgoingLink>())
        {
            link.Send(new NodeSend(operation, weightsHash, node, values, header, shards));
        }
    }

    /// <inheritdoc/>
    public void SendShardChunk(
        ulong operation, int index, Chunk chunk, NativeVector reduced, ReadOnlyMemory<double> tileSquares, NodeHeader? header)
    {
        var send = new ShardSend(operation, index, chunk, reduced, tileSquares, header);
        for (var peer = 0; peer < _shards.Length; peer++)
        {
            if (peer != _rank)
            {
                _shards[peer].Writer.TryWrite(send);
            }
        }
    }

    /// <summary>Serves the call of another rank: takes its nodes, and sends it the own reduced shard.</summary>
    /// <exception cref="RpcException">A message was refused; the call ends.</exception>
    public async Task ServeAsync(
        int peer, IAsyncStreamReader<ChunkFrame<NodeChunk>> requests, IServerStreamWriter<ChunkFrame<ShardChunk>> responses,
        CancellationToken cancellation)
    {
        var served = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_served)
        {
            if (_isOver || _served[peer] is { IsCompleted: false })
            {
                throw new RpcException(new Status(
                    StatusCode.FailedPrecondition, _isOver ? "The generation is over." : $"Rank {peer} has a call to rank {_rank} already."));
            }

            _served[peer] = served.Task;
        }

        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _links[peer].Token);
        var sending = SendShardsAsync(peer, responses, both.Token);
        try
        {
            await TakeNodesAsync(peer, requests, both.Token);
            if (!_ended.IsCancellationRequested)
            {
                Break(peer, "it ended the call");
            }
        }
        catch (Exception e) when (!_ended.IsCancellationRequested)
        {
            Break(peer, Sentence(e));
            throw;
        }
        finally
        {
            await both.CancelAsync();
            await sending.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            served.SetResult();
        }
    }

    /// <summary>
    /// Ends all links; whoever waits for an operation learns why. Afterwards nothing of this group reads or writes the vectors it was given, so that their
    /// memory may be used for something else or freed.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        Operations.Close(new OperationCanceledException("The generation ended."));
        Task?[] served;
        lock (_served)
        {
            (_isOver, served) = (true, [.. _served]);
        }

        await _ended.CancelAsync();
        await Task.WhenAll(served.OfType<Task>());
        foreach (var link in _outgoing.OfType<OutgoingLink>())
        {
            await link.DisposeAsync();
        }

        Array.ForEach(_links, link => link.Dispose());
        _ended.Dispose();
    }

    private void Break(int rank, string reason) => _broken.TrySetResult(new BrokenLink(rank, $"the link to {Addresses[rank]} broke: {reason}"));

    private static string Sentence(Exception e) =>
        e is not RpcException rpc ? e.Message : rpc.Status.Detail.Length > 0 ? rpc.Status.Detail : $"{rpc.StatusCode}";

    private async Task SendShardsAsync(int peer, IServerStreamWriter<ChunkFrame<ShardChunk>> responses, CancellationToken cancellation)
    {
        await responses.WriteAsync(new ChunkFrame<ShardChunk>(Head(0, 0), ChunkPayload.Empty), cancellation);
        await foreach (var send in _shards[peer].Reader.ReadAllAsync(cancellation))
        {
            var head = Head(send.Operation, send.Index);
            head.Header = send.Header is null ? null : Wire.ToWire(send.Header);
            head.TileSquares.AddRange(send.TileSquares.ToArray());
            Interlocked.Add(ref _bytesSent, send.Chunk.Count * sizeof(float));
            await responses.WriteAsync(new ChunkFrame<ShardChunk>(head, Payload(send.Reduced, send.Chunk)), cancellation);
        }

        ShardChunk Head(ulong operation, int index) => new()
        {
            Run = _tag.Run,
            Term = _tag.Term,
            Generation = _tag.Generation,
            Operation = operation,
            Rank = _rank,
            Chunk = index,
        };
    }

    private async Task TakeNodesAsync(int peer, IAsyncStreamReader<ChunkFrame<NodeChunk>> requests, CancellationToken cancellation)
    {
        while (await requests.MoveNext(cancellation))
        {
            var (head, payload) = requests.Current;
            var refusal = _tag.Refuse(new RunTag(head.Run, head.Term, head.Generation))
                ?? (head.Rank == peer ? null : $"it says rank {head.Rank} on the call of rank {peer}");
            if (refusal is null)
            {
                var operation = await Operations.FindAsync(head.Operation, cancellation);
                refusal = operation is null
                    ? $"operation {head.Operation} is not in progress"
                    : operation.TakeNode(
                        peer, Wire.NodeOf(head), head.WeightsHash, head.Chunk, payload, head.Header is null ? null : Wire.FromWire(head.Header));
            }

            if (refusal is not null)
            {
                payload.Dispose();
                throw new RpcException(new Status(StatusCode.FailedPrecondition, $"Rank {_rank} refuses a node of rank {peer}: {refusal}."));
            }
        }
    }

    private static unsafe ChunkPayload Payload(NativeVector vector, Chunk chunk) =>
        ChunkPayload.Over(vector.Data + chunk.FirstElement, chunk.Count);

    /// <summary>A link that does not hold.</summary>
    /// <param name="Rank">The other end.</param>
    /// <param name="Reason">Why, as the end of a sentence.</param>
    public sealed record BrokenLink(int Rank, string Reason);

    private sealed record NodeSend(
        ulong Operation, ulong WeightsHash, NodeId Node, NativeVector Values, NodeHeader Header, ShardTable Shards);

    private sealed record ShardSend(
        ulong Operation, int Index, Chunk Chunk, NativeVector Reduced, ReadOnlyMemory<double> TileSquares, NodeHeader? Header);

    /// <summary>The call to one owner.</summary>
    private sealed class OutgoingLink(PeerGroup group, int owner, Uri address, TimeSpan connectTimeout) : IAsyncDisposable
    {
        private readonly Channel<NodeSend> _nodes = Channel.CreateUnbounded<NodeSend>(new UnboundedChannelOptions { SingleReader = true });
        private readonly Grpc.Net.Client.GrpcChannel _channel = Protocol.Hosting.GrpcDialer.Open(address, connectTimeout);
        private Task _running = Task.CompletedTask;

        public void Send(NodeSend send) => _nodes.Writer.TryWrite(send);

        public async Task<bool> TryOpenAsync(CancellationToken cancellation)
        {
            try
            {
                await OpenAsync(cancellation);
                return true;
            }
            catch (Exception e) when (e is RpcException or OperationCanceledException or IOException or InvalidOperationException)
            {
                var reason = e is RpcException ? Sentence(e) : "no answer in time";
                group._broken.TrySetResult(new BrokenLink(owner, $"{address} is not reached: see that --advertise names an address its peers can reach ({reason})"));
                return false;
            }
        }

        private async Task OpenAsync(CancellationToken cancellation)
        {
            var call = _channel.CreateCallInvoker()
                .AsyncDuplexStreamingCall(PeerContract.Exchange, null, new CallOptions(cancellationToken: group._links[owner].Token));
            await call.RequestStream.WriteAsync(new ChunkFrame<NodeChunk>(Head(0), ChunkPayload.Empty), cancellation);
            if (!await call.ResponseStream.MoveNext(cancellation))
            {
                throw new RpcException(new Status(StatusCode.Unavailable, $"Rank {owner} at {address} ended the call without an answer."));
            }

            _running = RunAsync(call);
        }

        public async ValueTask DisposeAsync()
        {
            await _running;
            _channel.Dispose();
        }

        private async Task RunAsync(AsyncDuplexStreamingCall<ChunkFrame<NodeChunk>, ChunkFrame<ShardChunk>> call)
        {
            // A break shows first in whichever direction is in use; the other one ends with the call, at the latest with the generation.
            Task[] directions = [SendNodesAsync(call.RequestStream), TakeShardsAsync(call.ResponseStream)];
            var first = await Task.WhenAny(directions);
            if (!group._ended.IsCancellationRequested)
            {
                var reason = first.Exception is null ? "it ended the call" : Sentence(first.Exception.GetBaseException());
                group.Break(owner, reason);
            }

            call.Dispose();
            await Task.WhenAll(directions).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }

        private async Task SendNodesAsync(IClientStreamWriter<ChunkFrame<NodeChunk>> requests)
        {
            await foreach (var send in _nodes.Reader.ReadAllAsync(group._ended.Token))
            {
                var chunks = send.Shards.Chunks(owner);
                for (var index = 0; index < chunks.Count; index++)
                {
                    var head = Head(send.Operation);
                    head.WeightsHash = send.WeightsHash;
                    head.Level = send.Node.Level;
                    head.Index = send.Node.Index;
                    head.Chunk = index;
                    head.Header = index == 0 ? Wire.ToWire(send.Header) : null;
                    Interlocked.Add(ref group._bytesSent, chunks[index].Count * sizeof(float));
                    await requests.WriteAsync(new ChunkFrame<NodeChunk>(head, Payload(send.Values, chunks[index])), group._ended.Token);
                }
            }
        }

        private async Task TakeShardsAsync(IAsyncStreamReader<ChunkFrame<ShardChunk>> responses)
        {
            while (await responses.MoveNext(group._ended.Token))
            {
                var (head, payload) = responses.Current;
                using (payload)
                {
                    var refusal = group._tag.Refuse(new RunTag(head.Run, head.Term, head.Generation))
                        ?? (head.Rank == owner ? null : $"it says rank {head.Rank} on the call to rank {owner}");
                    if (refusal is null)
                    {
                        var operation = await group.Operations.FindAsync(head.Operation, group._ended.Token);
                        refusal = operation is null
                            ? $"operation {head.Operation} is not in progress"
                            : operation.TakeShardChunk(
                                owner, head.Chunk, payload, head.TileSquares, head.Header is null ? null : Wire.FromWire(head.Header));
                    }

                    if (refusal is not null)
                    {
                        throw new InvalidDataException($"Rank {group._rank} refuses a shard of rank {owner}: {refusal}.");
                    }
                }
            }
        }

        private NodeChunk Head(ulong operation) => new()
        {
            Run = group._tag.Run,
            Term = group._tag.Term,
            Generation = group._tag.Generation,
            Operation = operation,
            Rank = group._rank,
        };
    }
}
