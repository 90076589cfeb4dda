using DistTrain.Coordinator.Data;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;
using Grpc.Core;
using RunEvent = DistTrain.Core.Membership.RunEvent;

namespace DistTrain.Coordinator;

/// <summary>Translation only: what arrives becomes an event of the loop, what the loop decides goes out.</summary>
/// <remarks>
/// InvalidArgument: a bug in the caller. FailedPrecondition: another run or term, or a caller that was not let in; it must join anew.
/// NotFound: no such checkpoint, no such data. ResourceExhausted: too many get data already; the caller tries again.
/// </remarks>
internal sealed class CoordinatorService(Task<CoordinatorLoop> ready, DataFeed? data) : Protocol.V1.Coordinator.CoordinatorBase
{
    private static readonly WriteOptions TogetherWithNext = new(WriteFlags.BufferHint);

    /// <inheritdoc/>
    public override async Task Attend(
        IAsyncStreamReader<WorkerMessage> requests, IServerStreamWriter<CoordinatorMessage> responses, ServerCallContext context)
    {
        if (!await requests.MoveNext(context.CancellationToken) || requests.Current.Hello is not { } hello)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, "A worker's first message is its hello."));
        }

        if (!Uri.TryCreate(hello.Address, UriKind.Absolute, out var address) || address.Scheme != Uri.UriSchemeHttp)
        {
            throw new RpcException(new Status(
                StatusCode.InvalidArgument, $"'{hello.Address}' is no address at which peers reach a worker: it is http://host:port."));
        }

        var loop = await ready.WaitAsync(context.CancellationToken);
        if (loop.HasEnded)
        {
            throw new RpcException(new Status(StatusCode.Unavailable, "The run has ended."));
        }

        var connection = loop.Workers.Connect();
        loop.Post(new RunEvent.Arrived(connection.Worker, Wire.FromWire(hello) with { Offer = loop.IsOfThisRun(hello.Offer) ? hello.Offer.Applied : null }));
        var receiving = ReceiveAsync(loop, connection.Worker, requests, context.CancellationToken);
        try
        {
            await foreach (var (message, isFollowed) in connection.ReadAllAsync(context.CancellationToken))
            {
                responses.WriteOptions = isFollowed ? TogetherWithNext : WriteOptions.Default;
                await responses.WriteAsync(message, context.CancellationToken);
            }

            // The last word is a refusal or the dismissal. The worker hangs up when it has read it; were this side first, a reset could overtake it.
            await receiving.WaitAsync(loop.Timeouts.LastWords, loop.Time, context.CancellationToken);
        }
        catch (TimeoutException)
        {
            // The worker was told, and says nothing more.
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or InvalidOperationException)
        {
            loop.Post(new RunEvent.Gone(connection.Worker, "its connection broke"));
        }
        finally
        {
            loop.Workers.Disconnect(connection);
        }
    }

    /// <inheritdoc/>
    public override async Task<PutCheckpointReply> PutCheckpoint(IAsyncStreamReader<CheckpointChunk> requests, ServerCallContext context)
    {
        var loop = await ready;
        var chunks = new AdmittedChunks(requests, loop);
        try
        {
            var checkpoint = await loop.Checkpoints.ReceiveAsync(chunks, header => loop.Due.Manifest(header.Step), context.CancellationToken);
            loop.Post(new RunEvent.CheckpointPublished(checkpoint.Header.Step, checkpoint.Header.WeightsHash));
            return new PutCheckpointReply();
        }
        catch (RpcException e) when (chunks.Step is { } there && e.StatusCode == StatusCode.AlreadyExists)
        {
            // A run that went back comes by a state it has written before.
            loop.Post(new RunEvent.CheckpointPublished(there));
            throw;
        }
        catch (Exception e) when (chunks.Step is { } step)
        {
            var rpc = e as RpcException ?? new RpcException(new Status(StatusCode.Internal, $"The checkpoint of step {step} cannot be written: {Disk.Why(e)}."));
            loop.Post(new RunEvent.CheckpointFailed(chunks.Worker, step, e is RpcException ? rpc.Status.Detail : Disk.Why(e)));
            throw rpc;
        }
    }

    /// <inheritdoc/>
    public override async Task GetCheckpoint(
        GetCheckpointRequest request, IServerStreamWriter<CheckpointChunk> responses, ServerCallContext context)
    {
        var loop = await ready;
        Admit(loop, request.Run, request.Term, request.Worker);
        await loop.Checkpoints.SendAsync(request.Step, responses, context.CancellationToken);
    }

    /// <inheritdoc/>
    public override async Task ListData(DataListRequest request, IServerStreamWriter<DataList> responses, ServerCallContext context)
    {
        Admit(await ready, request.Run, request.Term, request.Worker);
        await Data().ListAsync(responses, context.CancellationToken);
    }

    /// <inheritdoc/>
    public override async Task GetData(DataRequest request, IServerStreamWriter<DataChunk> responses, ServerCallContext context)
    {
        var loop = await ready;
        Admit(loop, request.Run, request.Term, request.Worker);
        loop.NoteData(request, await Data().SendAsync(request, responses, context.CancellationToken));
    }

    /// <inheritdoc/>
    public override async Task Watch(
        WatchRequest request, IServerStreamWriter<Protocol.V1.RunEvent> responses, ServerCallContext context)
    {
        var loop = await ready;
        await foreach (var happened in loop.Watchers.WatchAsync(context.CancellationToken))
        {
            await responses.WriteAsync(happened, context.CancellationToken);
        }
    }

    private DataFeed Data() => data ?? throw new RpcException(new Status(
        StatusCode.NotFound, "This coordinator gives out no data: set data.stream and start it again, or give the worker the data with --data."));

    private static void Admit(CoordinatorLoop loop, ulong run, ulong term, int worker)
    {
        if (run != loop.Run || term != loop.Term)
        {
            throw new RpcException(new Status(
                StatusCode.FailedPrecondition, $"This is run {loop.Run:x16}, term {loop.Term}, not run {run:x16}, term {term}."));
        }

        if (!loop.Workers.IsAdmitted(worker))
        {
            throw new RpcException(new Status(StatusCode.FailedPrecondition, $"Worker {worker} has not joined this run."));
        }
    }

    private static async Task ReceiveAsync(
        CoordinatorLoop loop, int worker, IAsyncStreamReader<WorkerMessage> requests, CancellationToken cancellation)
    {
        try
        {
            while (await requests.MoveNext(cancellation))
            {
                var message = requests.Current;
                if (message.Run != loop.Run || message.Term != loop.Term)
                {
                    loop.Post(new RunEvent.Gone(worker, $"it speaks of run {message.Run:x16}, term {message.Term}", MayReturn: false));
                    return;
                }

                loop.Post(ToEvent(worker, message));
            }

            loop.Post(new RunEvent.Gone(worker, "it ended its connection"));
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or RpcException or InvalidOperationException)
        {
            loop.Post(new RunEvent.Gone(worker, "its connection broke"));
        }
    }

    private static RunEvent ToEvent(int worker, WorkerMessage message) => message.BodyCase switch
    {
        WorkerMessage.BodyOneofCase.Prepared => new RunEvent.Prepared(worker, Wire.FromWire(message.Prepared)) { Told = (int)message.Told },
        WorkerMessage.BodyOneofCase.Kept => new RunEvent.Kept(
            worker, Wire.FromWire(message.Kept.Prepared), [.. message.Kept.Reports.Select(Wire.FromWire)])
        {
            Told = (int)message.Told,
            Generation = message.Kept.Generation,
        },
        WorkerMessage.BodyOneofCase.Linked => new RunEvent.Linked(
            worker, message.Linked.Generation, message.Linked.Applied, [.. message.Linked.Held.Select(Wire.FromWire)])
        {
            Micro = message.Linked.MicroBatch,
            Transports = [.. message.Linked.Transports.Select(t => (t.Transport, t.Links))],
        },
        WorkerMessage.BodyOneofCase.Learned => new RunEvent.Learned(worker, message.Learned.Applied) { Told = (int)message.Told },
        WorkerMessage.BodyOneofCase.LinkBroke => new RunEvent.LinkBroke(
            worker, message.LinkBroke.Generation, message.LinkBroke.Peer, message.LinkBroke.Reason),
        WorkerMessage.BodyOneofCase.LearningFailed => new RunEvent.LearningFailed(worker, message.LearningFailed.Reason) { Told = (int)message.Told },
        WorkerMessage.BodyOneofCase.Heartbeat => new RunEvent.Heard(worker, message.Heartbeat.Operation, message.Heartbeat.BlocksDone),
        WorkerMessage.BodyOneofCase.Report => new RunEvent.Reported(worker, Wire.FromWire(message.Report)),
        WorkerMessage.BodyOneofCase.Fault => new RunEvent.Faulted(worker, message.Fault.Sentence),
        WorkerMessage.BodyOneofCase.OutOfMemory => new RunEvent.OutOfMemory(
            worker, message.OutOfMemory.Generation, message.OutOfMemory.Operation, message.OutOfMemory.Sentence),
        WorkerMessage.BodyOneofCase.Leave => new RunEvent.LeaveAsked(worker, message.Leave.Sentence),
        _ => new RunEvent.Gone(worker, $"it sent {message.BodyCase}, which has no place in a run", MayReturn: false),
    };

    /// <summary>Lets only chunks of admitted workers of this run through.</summary>
    private sealed class AdmittedChunks(IAsyncStreamReader<CheckpointChunk> inner, CoordinatorLoop loop) : IAsyncStreamReader<CheckpointChunk>
    {
        public CheckpointChunk Current => inner.Current;

        /// <summary>The step of the checkpoint, once it is known.</summary>
        public long? Step { get; private set; }

        /// <summary>Who sends it.</summary>
        public int Worker { get; private set; } = -1;

        public async Task<bool> MoveNext(CancellationToken cancellationToken)
        {
            if (!await inner.MoveNext(cancellationToken))
            {
                return false;
            }

            Admit(loop, Current.Run, Current.Term, Current.Worker);
            (Worker, Step) = (Current.Worker, Current.Header?.Step ?? Step);
            return true;
        }
    }
}
