using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.V1;
using DistTrain.Worker.Exchange.Links;
using DistTrain.Worker.Healing;
using Grpc.Core;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// Where peers call. A peer may learn of a generation sooner than this worker does, so its call waits a bounded time for the group it names.
/// </summary>
/// <remarks>
/// FailedPrecondition: stale or foreign, the caller must not go on. DeadlineExceeded: this worker never learned of the generation, or the caller said nothing.
/// InvalidArgument: a bug in the caller.
/// </remarks>
internal sealed class PeerService(PeerGroupDirectory groups, StateSource states) : PeerServiceBase
{
    /// <inheritdoc/>
    public override async Task Exchange(
        IAsyncStreamReader<ChunkFrame<NodeChunk>> requests, IServerStreamWriter<ChunkFrame<ShardChunk>> responses, ServerCallContext context)
    {
        try
        {
            if (!await requests.MoveNext(context.CancellationToken).WaitAsync(groups.Patience, groups.Time, context.CancellationToken))
            {
                return;
            }
        }
        catch (TimeoutException)
        {
            throw new RpcException(new Status(StatusCode.DeadlineExceeded, "The caller did not say in time who it is."));
        }

        var hello = requests.Current.Head;
        requests.Current.Payload.Dispose();
        if (hello.Operation != 0)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, "A call begins with operation 0, which names its sender."));
        }

        var group = await FindAsync(new RunTag(hello.Run, hello.Term, hello.Generation), hello.Rank, context);
        await group.ServeAsync(hello.Rank, new GrpcFrames<ShardChunk, NodeChunk>(responses, requests), context.CancellationToken);
    }

    /// <inheritdoc/>
    public override async Task<MeetReply> Meet(MeetRequest request, ServerCallContext context) =>
        (await FindAsync(new RunTag(request.Run, request.Term, request.Generation), request.Rank, context)).Meet(request);

    /// <inheritdoc/>
    public override async Task Heal(HealRequest request, IServerStreamWriter<ChunkFrame<StateChunk>> responses, ServerCallContext context)
    {
        try
        {
            using var feed = await states.OpenAsync(request.Run);
            await feed.SendAsync(responses, states.Patience, groups.Time, context.CancellationToken);
        }
        catch (InvalidOperationException e) when (!context.CancellationToken.IsCancellationRequested)
        {
            throw new RpcException(new Status(StatusCode.ResourceExhausted, e.Message));
        }
    }

    private async Task<PeerGroup> FindAsync(RunTag tag, int rank, ServerCallContext context)
    {
        var group = await groups.FindAsync(tag, context.CancellationToken);
        return rank >= 0 && rank < group.WorldSize && rank != group.Rank
            ? group
            : throw new RpcException(new Status(
                StatusCode.InvalidArgument, $"Rank {rank} is no peer of rank {group.Rank} in a world of {group.WorldSize}."));
    }
}

/// <summary>The group of the current generation, for calls that come in.</summary>
internal sealed class PeerGroupDirectory(TimeProvider time, TimeSpan patience)
{
    private readonly Lock _lock = new();
    private PeerGroup? _current;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The clock.</summary>
    public TimeProvider Time => time;

    /// <summary>How long a call waits for its generation, and is waited for.</summary>
    public TimeSpan Patience { get; set; } = patience;

    /// <summary>Makes a group the current one.</summary>
    public void Set(PeerGroup group)
    {
        TaskCompletionSource changed;
        lock (_lock)
        {
            _current = group;
            changed = _changed;
            _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        changed.SetResult();
    }

    /// <summary>The group of a generation.</summary>
    /// <exception cref="RpcException">The generation is not this worker's, or did not become so in time.</exception>
    public async Task<PeerGroup> FindAsync(RunTag tag, CancellationToken cancellation)
    {
        using var deadline = new CancellationTokenSource(Patience, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancellation, deadline.Token);
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (_current is not null && (tag.Run != _current.Tag.Run || tag.Generation <= _current.Tag.Generation))
                {
                    return _current.Tag.Refuse(tag) is { } refusal
                        ? throw new RpcException(new Status(StatusCode.FailedPrecondition, $"The call is refused: {refusal}."))
                        : _current;
                }

                changed = _changed.Task;
            }

            try
            {
                await changed.WaitAsync(both.Token);
            }
            catch (OperationCanceledException) when (deadline.IsCancellationRequested)
            {
                throw new RpcException(new Status(
                    StatusCode.DeadlineExceeded, $"The call is refused: this worker did not learn of generation {tag.Generation} in time."));
            }
        }
    }
}
