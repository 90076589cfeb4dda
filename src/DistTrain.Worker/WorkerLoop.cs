using DistTrain.Core;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Worker.Exchange;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace DistTrain.Worker;

/// <summary>
/// A worker's part in a run, in the order in which it happens: prepare, link to the peers of the generation, carry out operations until dismissed.
/// </summary>
internal sealed partial class WorkerLoop(
    CoordinatorSession session, ITrainingTask task, RunOptions options, WorkerSettings settings, PeerGroupDirectory groups, TimeProvider time, ILogger logger)
    : IAsyncDisposable
{
    private readonly ComputeThread _compute = new();
    private readonly Dictionary<ulong, BlockPlanTable> _plans = [];
    private readonly CheckpointTransfer _checkpoints = new(session, session.Welcome.Worker);
    private readonly TimeSpan _linkDeadline = 5 * TimeSpan.FromMilliseconds(session.Welcome.SilenceMilliseconds);
    private Replica? _replica;
    private StepExecutor? _executor;
    private PeerGroup? _peers;
    private Task _writing = Task.CompletedTask;
    private ulong _operation;

    /// <summary>Takes part until the coordinator dismisses this worker.</summary>
    public async Task<RunOutcome> RunAsync()
    {
        session.Progress = () => new Heartbeat { Operation = _operation, BlocksDone = _executor?.BlocksDone ?? 0 };
        try
        {
            var waiting = time.GetTimestamp();
            await foreach (var message in session.Inbox.ReadAllAsync(session.Ended))
            {
                switch (message.BodyCase)
                {
                    case CoordinatorMessage.BodyOneofCase.Prepare:
                        await PrepareAsync(message.Prepare);
                        break;
                    case CoordinatorMessage.BodyOneofCase.Membership:
                        await LinkAsync(message.Membership);
                        break;
                    case CoordinatorMessage.BodyOneofCase.Plan:
                        _plans[message.Plan.Number] = Wire.FromWire(message.Plan);
                        break;
                    case CoordinatorMessage.BodyOneofCase.Operation:
                        await ExecuteAsync(message.Operation, time.GetElapsedTime(waiting));
                        break;
                }

                waiting = time.GetTimestamp();
            }
        }
        catch (Exception) when (session.Ended.IsCancellationRequested)
        {
            // The outcome says why: whatever was under way broke off because of it.
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            var sentence = e is RpcException rpc ? rpc.Status.Detail : e.Message;
            Log.Failed(logger, _operation, e);
            session.Send(new WorkerMessage { Fault = new Fault { Sentence = sentence } });
            return new RunOutcome(false, sentence);
        }

        return await session.Outcome;
    }

    public async ValueTask DisposeAsync()
    {
        if (_peers is not null)
        {
            await _peers.DisposeAsync();
        }

        await _writing.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        await _compute.RunAsync(() =>
        {
            _executor?.Dispose();
            _replica?.Dispose();
        });
        await _compute.DisposeAsync();
    }

    /// <summary>Builds or gets the state, and proves data, model and arithmetic.</summary>
    private async Task PrepareAsync(Prepare prepare)
    {
        var probe = await _compute.RunAsync(() =>
        {
            TorchRuntime.Load(options.Threads);
            _replica = new Replica(task, options, settings.OpenDevice(options.Device, settings.Number));
            return _replica.Probe();
        });
        var replica = _replica!;
        if (prepare.Build)
        {
            await _checkpoints.PutAsync(0, replica.Layout, replica.WeightsHash, replica.State, replica.Scalars, session.Ended);
        }
        else
        {
            replica.Scalars = await _checkpoints.GetAsync(prepare.Checkpoint, replica.Layout, replica.State, session.Ended);
            await _compute.RunAsync(replica.StateWasReplaced);
        }

        var delay = options.Debug.DelayPerMicroBatch.GetValueOrDefault($"{settings.Number}");
        _executor = new StepExecutor(replica, _compute, options.Debug.FoldPerWorker, () => Pause(delay), time);
        Log.Prepared(logger, replica.Layout.Count, replica.Device.Name, probe ?? "not repeatable", replica.WeightsHash);
        session.Send(new WorkerMessage
        {
            Prepared = Wire.ToWire(new WorkerPreparation(
                task.Training.Count, task.Validation.Count, $"{task.Training.Fingerprint}+{task.Validation.Fingerprint}",
                replica.Layout.Fingerprint, probe ?? "", replica.WeightsHash, task.Metrics, [.. replica.Remarks])),
        });
    }

    /// <summary>Reaches every peer of a generation.</summary>
    private async Task LinkAsync(Membership membership)
    {
        var rank = membership.Members.ToList().FindIndex(m => m.Worker == session.Welcome.Worker);
        var (run, term) = session.Tag;
        _peers = new PeerGroup(
            new RunTag(run, term, membership.Generation), rank, [.. membership.Members.Select(m => new Uri(m.Address))], _linkDeadline);
        groups.Set(_peers);
        using var deadline = new CancellationTokenSource(_linkDeadline, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(session.Ended, deadline.Token);
        try
        {
            await _peers.LinkAsync(both.Token);
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException && !session.Ended.IsCancellationRequested)
        {
            var addresses = string.Join(", ", membership.Members.Select(m => m.Address));
            throw new WorkerException(
                $"Rank {rank} does not reach all of {addresses}: see that --advertise names an address its peers can reach. "
                + $"({(e as RpcException)?.Status.Detail ?? "No answer in time."})", e);
        }

        _ = ReportBreakAsync(_peers);
        Log.Linked(logger, membership.Generation, rank, membership.Members.Count);
        session.Send(new WorkerMessage { Linked = new Linked { Generation = membership.Generation } });
    }

    /// <summary>Carries out one operation and reports it.</summary>
    private async Task ExecuteAsync(OperationDescriptor descriptor, TimeSpan waited)
    {
        var operation = Wire.FromWire(descriptor);
        _operation = operation.Number;
        var ranges = _plans[descriptor.Plan].Assignments[operation.Batches.Blocks];
        var report = await _executor!.ExecuteAsync(operation, ranges, _peers!, session.Ended);
        if (descriptor.CheckpointWriter == _peers!.Rank)
        {
            await WriteCheckpointAsync(operation.Step);
        }

        session.Send(new WorkerMessage
        {
            Report = Wire.ToWire(report with { WaitSeconds = waited.TotalSeconds, ResidentBytes = ResidentMemory.PeakBytes() }),
        });
    }

    /// <summary>Takes a copy of the state and sends it off the step path, one checkpoint at a time.</summary>
    private async Task WriteCheckpointAsync(long step)
    {
        await _writing;
        var (layout, hash, scalars) = (_replica!.Layout, _replica.WeightsHash, _replica.Scalars);
        var copy = await _compute.RunAsync(() => _replica.State.Select(s =>
        {
            var vector = new NativeVector(s.Vector.Count);
            vector.CopyFrom(s.Vector);
            return (s.Name, vector);
        }).ToList());
        _writing = WriteAsync();

        async Task WriteAsync()
        {
            try
            {
                await _checkpoints.PutAsync(step, layout, hash, copy, scalars, session.Ended);
            }
            catch (Exception e) when (e is RpcException or OperationCanceledException && !session.Ended.IsCancellationRequested)
            {
                session.Send(new WorkerMessage { Fault = new Fault { Sentence = $"Checkpoint {step} could not be written: {e.Message}" } });
            }
            finally
            {
                copy.ForEach(c => c.vector.Dispose());
            }
        }
    }

    /// <summary>
    /// A broken link is the coordinator's to judge: it sees which process is gone. Only where it sees none does this worker speak up, so that nobody
    /// waits for ever.
    /// </summary>
    private async Task ReportBreakAsync(PeerGroup peers)
    {
        var sentence = await peers.Broken;
        Log.LinkBroke(logger, sentence);
        try
        {
            await Task.Delay(TimeSpan.FromMilliseconds(2 * session.Welcome.SilenceMilliseconds), time, session.Ended);
            session.Send(new WorkerMessage { Fault = new Fault { Sentence = sentence } });
        }
        catch (OperationCanceledException)
        {
            // The coordinator has judged.
        }
    }

    private void Pause(TimeSpan delay)
    {
        if (delay > TimeSpan.Zero)
        {
            session.Ended.WaitHandle.WaitOne(delay);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "Prepared: {Parameters} parameters on {Device}, probe {Probe}, weights {Weights}", EventName = "prepared")]
        public static partial void Prepared(ILogger logger, long parameters, string device, string probe, string weights);

        [LoggerMessage(2, LogLevel.Information, "Linked: generation {Generation}, rank {Rank} of {WorldSize}", EventName = "linked")]
        public static partial void Linked(ILogger logger, ulong generation, int rank, int worldSize);

        [LoggerMessage(3, LogLevel.Warning, "{Sentence}", EventName = "link-broke")]
        public static partial void LinkBroke(ILogger logger, string sentence);

        [LoggerMessage(4, LogLevel.Error, "Operation {Operation} failed", EventName = "failed")]
        public static partial void Failed(ILogger logger, ulong operation, Exception exception);
    }
}
