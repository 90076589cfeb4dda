using System.Threading.Channels;
using DistTrain.Core.Membership;
using DistTrain.Core.Planning;
using DistTrain.Core.Runs;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Health;
using Grpc.Core;

namespace DistTrain.Worker;

/// <summary>
/// A worker's part in one generation: reach every member, say what it holds, carry out the operations it is given. It ends when the next generation
/// begins, at the next block; the executor keeps what was computed.
/// </summary>
internal sealed class GenerationRun : IAsyncDisposable
{
    private readonly CoordinatorSession _session;
    private readonly StepExecutor _executor;
    private readonly UnwrittenReports _reports;
    private readonly StepAllocations _allocations;
    private readonly PeerGroup _peers;
    private readonly TimeProvider _time;
    private readonly TimeSpan _linkDeadline;
    private readonly Func<OperationReport, long, TimeSpan, Task> _completed;
    private readonly PlanBook _plans = new();
    private readonly Channel<(OperationDescriptor Descriptor, IReadOnlyList<WorkShare> Shares)> _operations =
        Channel.CreateUnbounded<(OperationDescriptor, IReadOnlyList<WorkShare>)>();
    private readonly CancellationTokenSource _over;
    private Task<string?> _running = Task.FromResult<string?>(null);

    /// <summary>A generation that is not linked yet.</summary>
    /// <param name="session">The session with the coordinator.</param>
    /// <param name="state">The state and what is held of the operation under way.</param>
    /// <param name="peers">The members.</param>
    /// <param name="linkDeadline">How long linking may take.</param>
    /// <param name="completed">Told of every operation applied, the step whose state this member is to write then or -1, and how long the descriptor took.</param>
    /// <param name="time">The clock.</param>
    public GenerationRun(
        CoordinatorSession session, WorkerState state, PeerGroup peers, TimeSpan linkDeadline,
        Func<OperationReport, long, TimeSpan, Task> completed, TimeProvider time)
    {
        _session = session;
        _executor = state.Executor!;
        (_reports, _allocations) = (state.Reports, state.Allocations);
        _peers = peers;
        _linkDeadline = linkDeadline;
        _completed = completed;
        _time = time;
        _over = CancellationTokenSource.CreateLinkedTokenSource(session.Ended);
    }

    /// <summary>The generation and the own rank.</summary>
    public PeerGroup Peers => _peers;

    /// <summary>The operation in progress; 0 for none.</summary>
    public ulong Operation { get; private set; }

    /// <summary>Told when every member is reached.</summary>
    public Action OnLinked { get; init; } = () => { };

    /// <summary>Takes a plan, which later operations name.</summary>
    public void Add(BlockPlanTable plan) => _plans.Add(plan);

    /// <summary>Queues an operation.</summary>
    /// <exception cref="WorkerException">It names a plan that was not sent.</exception>
    public void Add(OperationDescriptor descriptor)
    {
        var operation = Wire.FromWire(descriptor);
        var shares = Wire.SharesOf(descriptor) ?? _plans.SharesOf(operation, descriptor.Plan);
        _executor.Expect(operation, shares[_peers.Rank]);
        _operations.Writer.TryWrite((descriptor, shares));
    }

    /// <summary>Takes part until disposed, or until this worker cannot go on.</summary>
    /// <returns>Why it cannot, in a sentence; null where the generation is over.</returns>
    public Task<string?> RunAsync() => _running = LinkAndExecuteAsync();

    /// <summary>Ends the generation, at the next block; afterwards the executor may be used again.</summary>
    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await _peers.DisposeAsync();
        await _running;
        await _executor.ForgetExpectedAsync();
        _over.Dispose();
    }

    private async Task<string?> LinkAndExecuteAsync()
    {
        try
        {
            if (!await LinkAsync())
            {
                // The coordinator is told which link does not hold, and ends this generation.
                await Task.Delay(Timeout.InfiniteTimeSpan, _time, _over.Token);
            }

            var linked = new Linked { Generation = _peers.Tag.Generation, Applied = _executor.Applied };
            linked.Held.AddRange(_executor.Held.Select(Wire.ToWire));
            linked.MicroBatch = _executor.HeldMicro;
            linked.Transports.AddRange(_peers.Ways.CountBy(w => w.Transport).Where(t => t.Key.Length > 0).Select(t => new TransportLinks { Transport = t.Key, Links = t.Value }));
            OnLinked();
            _session.Send(new WorkerMessage { Linked = linked });

            var waiting = _time.GetTimestamp();
            await foreach (var (descriptor, shares) in _operations.Reader.ReadAllAsync(_over.Token))
            {
                await ExecuteAsync(descriptor, shares, _time.GetElapsedTime(waiting));
                waiting = _time.GetTimestamp();
            }

            return null;
        }
        catch (Exception) when (_over.IsCancellationRequested)
        {
            // Whatever was under way broke off because of it.
            return null;
        }
        catch (MicroBatchException e)
        {
            return await AwaitSmallerAsync(e);
        }
        catch (Exception e)
        {
            return e is RpcException rpc ? rpc.Status.Detail : e.Message;
        }
    }

    /// <summary>A micro-batch did not fit: the coordinator ends the generation, and the next one has smaller ones.</summary>
    private async Task<string?> AwaitSmallerAsync(MicroBatchException shortage)
    {
        _session.Send(new WorkerMessage
        {
            OutOfMemory = new OutOfMemory { Generation = _peers.Tag.Generation, Operation = shortage.Operation, Sentence = shortage.Message },
        });
        await Task.Delay(Timeout.InfiniteTimeSpan, _time, _over.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return null;
    }

    /// <summary>The first link that breaks, or cannot be made.</summary>
    public Task<PeerGroup.BrokenLink> Broken => _peers.Broken;

    private async Task<bool> LinkAsync()
    {
        using var deadline = new CancellationTokenSource(_linkDeadline, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(_over.Token, deadline.Token);
        return await _peers.LinkAsync(both.Token);
    }

    private async Task ExecuteAsync(OperationDescriptor descriptor, IReadOnlyList<WorkShare> shares, TimeSpan waited)
    {
        await _reports.RoomAsync(_over.Token);
        var operation = Wire.FromWire(descriptor);
        Operation = operation.Number;
        var report = await _executor.ExecuteAsync(operation, shares, _peers, _over.Token);

        // Before the report: with it a checkpoint may begin, which is no part of this step.
        _allocations.Note(operation.Kind == OperationKind.Train, GC.GetTotalAllocatedBytes());
        if (report is not null)
        {
            await _completed(report, descriptor.CheckpointWriter == _peers.Rank ? operation.Step : -1, waited);
        }
    }
}
