using System.Net.Sockets;
using System.Runtime.CompilerServices;
using DistTrain.Core.Layouts;
using DistTrain.Core.Reduction;
using DistTrain.Protocol;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.V1;
using DistTrain.Training.Native;
using DistTrain.Worker.Exchange.Links;
using Grpc.Core;
using NodeHeader = DistTrain.Core.Reduction.NodeHeader;

namespace DistTrain.Worker.Exchange;

/// <summary>The call to one owner: nodes go out, its reduced shard comes back.</summary>
/// <param name="group">The generation it belongs to.</param>
/// <param name="owner">The other end.</param>
/// <param name="dialer">The way to it; the link's from here on.</param>
/// <param name="cut">Cancelled when the link is cut or the generation is over.</param>
internal sealed class OwnerLink(PeerGroup group, int owner, LinkDialer dialer, CancellationToken cut) : IAsyncDisposable
{
    private readonly SendQueue<NodeSend> _nodes = new();
    private readonly ChunkPayload _place = ChunkPayload.Movable();
    private readonly CancellationTokenSource _over = CancellationTokenSource.CreateLinkedTokenSource(cut);
    private Task _opening = Task.CompletedTask;
    private Task _running = Task.CompletedTask;

    /// <summary>How the owner is reached; empty where it is not yet.</summary>
    public string Transport { get; private set; } = "";

    /// <summary>Why by no better way; empty for no reason.</summary>
    public string Reason => dialer.Reason;

    /// <summary>Queues chunks of a node.</summary>
    public void Send(ulong operation, ulong weightsHash, NodeId node, NativeVector values, NodeHeader? header, ShardTable shards, Range chunks) =>
        _nodes.Add(new NodeSend(operation, weightsHash, node, values, header, shards, chunks));

    /// <summary>Opens the call and has the owner's answer.</summary>
    /// <param name="probe">By which the owner finds out whether it is on this host.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <returns>Whether it is open; else the group knows why.</returns>
    public Task<bool> TryOpenAsync(HostProbe probe, CancellationToken cancellation)
    {
        var opening = OpenAsync(probe, cancellation);
        _opening = opening;
        return opening;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await _opening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _running;
        dialer.Dispose();
        _over.Dispose();
    }

    private async Task<bool> OpenAsync(HostProbe probe, CancellationToken cancellation)
    {
        var address = group.Addresses[owner];
        using var opening = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _over.Token);
        IFrameStream<NodeChunk, ShardChunk>? call = null;
        try
        {
            call = await dialer.OpenAsync(group.Tag, group.Rank, owner, probe, opening.Token, _over.Token);
            await call.SendAsync(Head(new NodeChunk(), 0), ChunkPayload.Empty, opening.Token);
            if (!await call.MoveNextAsync(opening.Token))
            {
                throw new RpcException(new Status(StatusCode.Unavailable, $"Rank {owner} at {address} ended the call without an answer."));
            }

            Transport = call.Transport;
            _running = RunAsync(call);
            return true;
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException or IOException or SocketException or InvalidDataException or InvalidOperationException)
        {
            var reason = cancellation.IsCancellationRequested && !_over.IsCancellationRequested ? "no answer in time" : PeerGroup.Sentence(e);
            await (call?.DisposeAsync() ?? ValueTask.CompletedTask);
            group.BreakUnlinked(owner, $"{address} is not reached: see that --advertise names an address its peers can reach ({reason})");
            return false;
        }
    }

    private async Task RunAsync(IFrameStream<NodeChunk, ShardChunk> call)
    {
        await group.AwaitEndAsync(owner, SendNodesAsync(call), TakeShardsAsync(call), _over).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await call.DisposeAsync();
    }

    private async Task SendNodesAsync(IFrameStream<NodeChunk, ShardChunk> call)
    {
        var (head, payload) = (new NodeChunk(), ChunkPayload.Movable());
        while (true)
        {
            NodeSend send;
            while (!_nodes.TryTake(out send))
            {
                await _nodes.AddedAsync(_over.Token);
            }

            var chunks = send.Shards.Chunks(owner);
            for (var index = send.Chunks.Start.Value; index < send.Chunks.End.Value; index++)
            {
                Head(head, send.Operation);
                head.WeightsHash = send.WeightsHash;
                head.Level = send.Node.Level;
                head.Index = send.Node.Index;
                head.Chunk = index;
                head.Header = index == 0 ? Wire.ToWire(send.Header!) : null;
                group.CountSent(chunks[index].Count);
                await call.SendAsync(head, PeerGroup.Payload(send.Values, chunks[index], payload), _over.Token);
            }
        }
    }

    private async Task TakeShardsAsync(IFrameStream<NodeChunk, ShardChunk> call)
    {
        call.Place = PlaceAsync;
        while (await call.MoveNextAsync(_over.Token))
        {
            var head = call.Head;
            using var payload = call.Payload;
            var refusal = group.Tag.Refuse(new RunTag(head.Run, head.Term, head.Generation))
                ?? (head.Rank == owner ? null : $"it says rank {head.Rank} on the call to rank {owner}");
            if (refusal is null)
            {
                var operation = await group.Operations.FindAsync(head.Operation, _over.Token);
                refusal = operation is null
                    ? $"operation {head.Operation} is not in progress"
                    : operation.TakeShardChunk(
                        owner, head.Chunk, payload, head.TileSquares, head.Header is null ? null : Wire.FromWire(head.Header));
            }

            if (refusal is not null)
            {
                throw new InvalidDataException($"Rank {group.Rank} refuses a shard of rank {owner}: {refusal}.");
            }
        }
    }

    /// <summary>A chunk of a reduced shard is received where it is to lie. What would be refused is received elsewhere, and then refused.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ChunkPayload?> PlaceAsync(ShardChunk head, int count, CancellationToken cancellation)
    {
        if (head.Rank != owner || group.Tag.Refuse(new RunTag(head.Run, head.Term, head.Generation)) is not null)
        {
            return null;
        }

        var header = head.Header is null ? null : Wire.FromWire(head.Header);
        return await group.Operations.FindAsync(head.Operation, cancellation) is { } operation
            && operation.TryPlace(owner, head.Chunk, count, head.TileSquares, header, _place) ? _place : null;
    }

    private NodeChunk Head(NodeChunk head, ulong operation)
    {
        (head.Run, head.Term, head.Generation) = (group.Tag.Run, group.Tag.Term, group.Tag.Generation);
        (head.Operation, head.Rank) = (operation, group.Rank);
        return head;
    }

    private readonly record struct NodeSend(
        ulong Operation, ulong WeightsHash, NodeId Node, NativeVector Values, NodeHeader? Header, ShardTable Shards, Range Chunks);
}
