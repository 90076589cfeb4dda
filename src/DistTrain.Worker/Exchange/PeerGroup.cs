using DistTrain.Core.Layouts;
using DistTrain.Core.Reduction;
using DistTrain.Protocol;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.V1;
using DistTrain.Training.Native;
using DistTrain.Worker.Exchange.Links;
using Google.Protobuf.Collections;
using Grpc.Core;
using NodeHeader = DistTrain.Core.Reduction.NodeHeader;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// The other ranks of one generation: an outgoing call to each owner, on which nodes go and its reduced shard comes back, and an incoming call from each rank
/// the other way round.
/// </summary>
internal sealed class PeerGroup : IPeerLinks, IAsyncDisposable
{
    private const string CutHere = "it was cut here";

    private readonly RunTag _tag;
    private readonly int _rank;
    private readonly OwnerLink?[] _outgoing;
    private readonly SendQueue<ShardSend>[] _shards;
    private readonly Task?[] _served;
    private readonly LinkSettings _settings;
    private readonly Meetings _meetings;
    private bool _isClosed;
    private readonly CancellationTokenSource _ended = new();
    private readonly CancellationTokenSource[] _links;
    private readonly TaskCompletionSource<BrokenLink> _broken = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _bytesSent;

    /// <summary>A group that is not linked yet.</summary>
    /// <param name="tag">Run, term and generation.</param>
    /// <param name="rank">The own rank.</param>
    /// <param name="addresses">Where each rank is reached, the own included.</param>
    /// <param name="connectTimeout">How long a connection may take.</param>
    /// <param name="links">By which ways; gRPC where nothing is said.</param>
    public PeerGroup(RunTag tag, int rank, IReadOnlyList<Uri> addresses, TimeSpan connectTimeout, LinkSettings? links = null)
    {
        _settings = links ?? LinkSettings.GrpcOnly;
        _meetings = new Meetings(_settings);
        _tag = tag;
        _rank = rank;
        Addresses = addresses;
        _links = [.. addresses.Select(_ => CancellationTokenSource.CreateLinkedTokenSource(_ended.Token))];
        _outgoing = [.. addresses.Select((address, owner) =>
            owner == rank ? null : new OwnerLink(this, owner, new LinkDialer(address, connectTimeout, _settings), _links[owner].Token))];
        _shards = [.. addresses.Select(_ => new SendQueue<ShardSend>())];
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

    /// <summary>Whether the generation has ended for this worker.</summary>
    public bool IsOver => _ended.IsCancellationRequested;

    /// <summary>How many ranks there are.</summary>
    public int WorldSize => _outgoing.Length;

    /// <summary>The all-reduces of this generation.</summary>
    public OperationTable Operations { get; } = new();

    /// <summary>The first link that breaks, or cannot be made.</summary>
    public Task<BrokenLink> Broken => _broken.Task;

    /// <summary>Gradient bytes sent so far.</summary>
    public long BytesSent => Interlocked.Read(ref _bytesSent);

    /// <summary>How each rank is reached, with the reason where there is a better way; empty for the own rank and where it is not reached yet.</summary>
    public IReadOnlyList<(string Transport, string Reason)> Ways => [.. _outgoing.Select(link => (link?.Transport ?? "", link?.Reason ?? ""))];

    /// <summary>Agrees with another rank on how its call comes.</summary>
    public MeetReply Meet(MeetRequest request) => _meetings.Meet(request);

    /// <summary>What was agreed on with a rank; null where it does not show the right token.</summary>
    public Meeting? Claim(int rank, byte[] token) => _meetings.Claim(rank, token);

    /// <summary>Opens a call to every other rank and has each answer.</summary>
    /// <returns>Whether all did; else <see cref="Broken"/> says which did not.</returns>
    public async Task<bool> LinkAsync(CancellationToken cancellation)
    {
        using var probe = HostProbe.Create(_settings, _tag, _rank);
        var opened = await Task.WhenAll(_outgoing.OfType<OwnerLink>().Select(link => link.TryOpenAsync(probe, cancellation)));
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
    public void SendNode(
        ulong operation, ulong weightsHash, NodeId node, NativeVector values, NodeHeader? header, ShardTable shards, int owner, Range chunks) =>
        _outgoing[owner]!.Send(operation, weightsHash, node, values, header, shards, chunks);

    /// <inheritdoc/>
    public void SendShardChunk(
        ulong operation, int index, Chunk chunk, NativeVector reduced, ReadOnlyMemory<double> tileSquares, NodeHeader? header)
    {
        var send = new ShardSend(operation, index, chunk, reduced, tileSquares, header);
        for (var peer = 0; peer < _shards.Length; peer++)
        {
            if (peer != _rank)
            {
                _shards[peer].Add(send);
            }
        }
    }

    /// <summary>Serves the call of another rank: takes its nodes, and sends it the own reduced shard.</summary>
    /// <exception cref="RpcException">A message was refused; the call ends.</exception>
    public async Task ServeAsync(int peer, IFrameStream<ShardChunk, NodeChunk> call, CancellationToken cancellation)
    {
        var served = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_served)
        {
            if (_isClosed || _served[peer] is { IsCompleted: false })
            {
                throw new RpcException(new Status(
                    StatusCode.FailedPrecondition, _isClosed ? "The generation is over." : $"Rank {peer} has a call to rank {_rank} already."));
            }

            _served[peer] = served.Task;
        }

        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _links[peer].Token);
        try
        {
            await AwaitEndAsync(peer, SendShardsAsync(peer, call, both.Token), TakeNodesAsync(peer, call, both.Token), both);
        }
        finally
        {
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
            (_isClosed, served) = (true, [.. _served]);
        }

        await _ended.CancelAsync();
        await Task.WhenAll(served.OfType<Task>());
        foreach (var link in _outgoing.OfType<OwnerLink>())
        {
            await link.DisposeAsync();
        }

        Array.ForEach(_links, link => link.Dispose());
        _ended.Dispose();
    }

    /// <summary>
    /// Waits for a call to end. A break shows first in whichever direction is in use; the other one is ended then. Until the generation is over, it is a break.
    /// </summary>
    /// <param name="rank">The other end.</param>
    /// <param name="sending">The one direction.</param>
    /// <param name="taking">The other one.</param>
    /// <param name="both">Ends both.</param>
    /// <exception cref="Exception">What broke the one that ended first.</exception>
    internal async Task AwaitEndAsync(int rank, Task sending, Task taking, CancellationTokenSource both)
    {
        var first = await Task.WhenAny(sending, taking);
        if (!IsOver)
        {
            var reason = first switch
            {
                { IsCanceled: true } => CutHere,
                { Exception: { } e } => Sentence(e.GetBaseException()),
                _ => "it ended the call",
            };
            BreakUnlinked(rank, $"the link to {Addresses[rank]} broke: {reason}");
        }

        await both.CancelAsync();
        await Task.WhenAll(sending, taking).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await first;
    }

    /// <summary>A link cannot be made.</summary>
    internal void BreakUnlinked(int rank, string reason) => _broken.TrySetResult(new BrokenLink(rank, reason));

    /// <summary>Notes what is sent.</summary>
    internal void CountSent(int elements) => Interlocked.Add(ref _bytesSent, (long)elements * sizeof(float));

    /// <summary>Why a call broke, as the end of a sentence.</summary>
    internal static string Sentence(Exception e) => e switch
    {
        RpcException rpc => rpc.Status.Detail.Length > 0 ? rpc.Status.Detail : $"{rpc.StatusCode}",
        OperationCanceledException => CutHere,
        _ => e.Message,
    };

    /// <summary>A chunk where it lies, by a payload that is the caller's alone.</summary>
    internal static unsafe ChunkPayload Payload(NativeVector vector, Chunk chunk, ChunkPayload movable) => movable.Move(vector.Data + chunk.FirstElement, chunk.Count);

    private async Task SendShardsAsync(int peer, IFrameStream<ShardChunk, NodeChunk> call, CancellationToken cancellation)
    {
        var payload = ChunkPayload.Movable();
        var head = new ShardChunk { Run = _tag.Run, Term = _tag.Term, Generation = _tag.Generation, Rank = _rank };
        await call.SendAsync(head, ChunkPayload.Empty, cancellation);
        while (true)
        {
            ShardSend send;
            while (!_shards[peer].TryTake(out send))
            {
                await _shards[peer].AddedAsync(cancellation);
            }

            (head.Operation, head.Chunk) = (send.Operation, send.Index);
            head.Header = send.Header is null ? null : Wire.ToWire(send.Header);
            Fill(head.TileSquares, send.TileSquares.Span);
            CountSent(send.Chunk.Count);
            await call.SendAsync(head, Payload(send.Reduced, send.Chunk, payload), cancellation);
        }

        static void Fill(RepeatedField<double> field, ReadOnlySpan<double> squares)
        {
            field.Clear();
            foreach (var square in squares)
            {
                field.Add(square);
            }
        }
    }

    private async Task TakeNodesAsync(int peer, IFrameStream<ShardChunk, NodeChunk> call, CancellationToken cancellation)
    {
        while (await call.MoveNextAsync(cancellation))
        {
            var (head, payload) = (call.Head, call.Payload);
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

    /// <summary>A link that does not hold.</summary>
    /// <param name="Rank">The other end.</param>
    /// <param name="Reason">Why, as the end of a sentence.</param>
    public sealed record BrokenLink(int Rank, string Reason);

    private readonly record struct ShardSend(
        ulong Operation, int Index, Chunk Chunk, NativeVector Reduced, ReadOnlyMemory<double> TileSquares, NodeHeader? Header);
}
