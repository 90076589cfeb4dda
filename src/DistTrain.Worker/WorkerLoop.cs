using DistTrain.Core;
using DistTrain.Core.Health;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;
using DistTrain.Training.Checkpoints;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Healing;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace DistTrain.Worker;

/// <summary>
/// A worker's part in a run, in the order in which it happens: get the state, from the coordinator or from a member, then take part in one generation after the
/// other until dismissed.
/// </summary>
internal sealed partial class WorkerLoop(
    CoordinatorSession session, WorkerState state, WorkerSettings settings, WorkerServices services, TimeProvider time, ILogger logger)
    : IAsyncDisposable
{
    private readonly CheckpointTransfer _checkpoints = new(session, session.Welcome.Worker);
    private readonly CheckpointSender _sender = new(state, new CheckpointTransfer(session, session.Welcome.Worker), logger, session.Ended);
    private MemberList _members = MemberList.None;
    private GenerationRun? _generation;
    private string _transports = "";
    private Task _training = Task.CompletedTask;
    private CancellationTokenSource _learning = new();
    private Task _learner = Task.CompletedTask;

    /// <summary>Takes part until the coordinator dismisses this worker, or the session ends.</summary>
    public async Task<SessionEnd> RunAsync()
    {
        session.Progress = () => new Heartbeat { Operation = _generation?.Operation ?? 0, BlocksDone = state.Executor?.BlocksDone ?? 0 };
        session.Written = state.Reports.Forget;
        try
        {
            await foreach (var message in session.Inbox.ReadAllAsync(session.Ended))
            {
                switch (message.BodyCase)
                {
                    case CoordinatorMessage.BodyOneofCase.Prepare:
                        await PrepareAsync(message.Prepare);
                        break;
                    case CoordinatorMessage.BodyOneofCase.Keep:
                        await StopAsync();
                        session.Told++;
                        services.Vitals.Leave();
                        services.Vitals.Begin(WorkerActivity.Attending);
                        Keep();
                        break;
                    case CoordinatorMessage.BodyOneofCase.Learn:
                        await StopAsync();
                        session.Told++;
                        _learning.Dispose();
                        _learning = CancellationTokenSource.CreateLinkedTokenSource(session.Ended);
                        _learner = LearnAsync(new Uri(message.Learn.Address), message.Learn.MicroBatch);
                        break;
                    case CoordinatorMessage.BodyOneofCase.Membership:
                        if (_members.With(Wire.FromWire(message.Membership)) is not { } members)
                        {
                            return new SessionEnd(new RunOutcome(false, Unfitting(message.Membership)), MayReturn.WithState);
                        }

                        _members = members;
                        await StopAsync();
                        _training = TrainAsync();
                        break;
                    case CoordinatorMessage.BodyOneofCase.Plan:
                        _generation?.Add(Wire.FromWire(message.Plan));
                        break;
                    case CoordinatorMessage.BodyOneofCase.Operation:
                        _generation?.Add(message.Operation);
                        PrepareCheckpoint(message.Operation);
                        break;
                    case CoordinatorMessage.BodyOneofCase.Save:
                        await _sender.SendAsync(message.Save.Step, mayWait: true);
                        break;
                }
            }
        }
        catch (Exception) when (session.Ended.IsCancellationRequested)
        {
            // The outcome says why: whatever was under way broke off because of it.
        }
        catch (Exception e)
        {
            // A call for a checkpoint breaks off sooner than the session where the coordinator is gone.
            var isGone = e is RpcException { StatusCode: StatusCode.Unavailable or StatusCode.Cancelled or StatusCode.Internal }
                && await Task.WhenAny(session.Outcome, Task.Delay(session.Timeouts.Silence, time)) == session.Outcome;
            return isGone ? await session.Outcome : new SessionEnd(Fail(e is RpcException rpc ? rpc.Status.Detail : e.Message, e), MayReturn.No);
        }

        return await session.Outcome;
    }

    public async ValueTask DisposeAsync()
    {
        services.States.Clear();
        await StopAsync();
        await _sender.DisposeAsync();
        _learning.Dispose();
        if (state.Allocations.Sentence is { } allocations)
        {
            Log.Allocated(logger, allocations);
        }
    }

    /// <summary>Ends the generation or the copy under way, at the next block or chunk.</summary>
    private async Task StopAsync()
    {
        if (_generation is not null)
        {
            await _generation.DisposeAsync();
        }

        await _learning.CancelAsync();

        // What went wrong in them the coordinator was told.
        await Task.WhenAll(_training, _learner).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _generation = null;
    }

    private string Unfitting(Membership change) => $"Told what changed since generation {change.From}, this worker knows the members of {_members.Generation}: it asks for all.";

    private async Task TrainAsync()
    {
        try
        {
            await TakePartAsync();
        }
        catch (Exception) when (session.Outcome.IsCompleted)
        {
            // Whatever was under way broke off because of it.
        }
        catch (Exception e)
        {
            // The loop comes to wait for this when the coordinator says something, and the coordinator waits for this worker.
            Fail(e.Message, e);
        }
    }

    private async Task TakePartAsync()
    {
        var rank = _members.Members.ToList().FindIndex(m => m.Worker == session.Welcome.Worker);
        var (run, term) = session.Tag;
        var peers = new PeerGroup(
            new RunTag(run, term, _members.Generation), rank, [.. _members.Members.Select(m => new Uri(m.Address))], session.Timeouts.Link,
            services.Door.Settings(state.Options.Transport))
        {
            Numbers = [.. _members.Members.Select(m => m.Number)],
        };
        _generation = new GenerationRun(session, state, peers, session.Timeouts.Link, ReportAsync, time) { OnLinked = () => LogWays(peers) };
        services.Groups.Set(peers);

        // A worker that was to copy a state may be a member with its own again, where the source was lost before the copy began.
        state.Executor!.ReopenFeeds();
        services.States.Set(run, state.Executor.FeedAsync);
        (state.IsMember, state.Generation) = (true, _members.Generation);
        services.Vitals.Enter(_members.Generation, rank, peers.WorldSize);
        _ = ReportBreakAsync(_generation);
        Log.Member(logger, _members.Generation, rank, peers.WorldSize);
        var problem = await _generation.RunAsync();
        services.Vitals.Begin(WorkerActivity.Attending);
        if (problem is not null)
        {
            Fail(problem, null);
        }
    }

    private void LogWays(PeerGroup peers)
    {
        _transports = string.Join(',', peers.Ways.Select(w => w.Transport).Where(t => t.Length > 0).Distinct().Order(StringComparer.Ordinal));
        var ways = peers.Ways.Index().Where(w => w.Item.Transport.Length > 0)
            .GroupBy(w => w.Item, w => w.Index)
            .Select(g => $"{(g.Count() == 1 ? "rank" : "ranks")} {string.Join(", ", g)} by {g.Key.Transport}{(g.Key.Reason.Length > 0 ? $" ({g.Key.Reason})" : "")}");
        if (_transports.Length > 0)
        {
            Log.Linked(logger, peers.Tag.Generation, string.Join("; ", ways));
        }
    }

    private async Task ReportAsync(OperationReport report, long checkpoint, TimeSpan waited)
    {
        if (checkpoint >= 0)
        {
            await _sender.SendAsync(checkpoint, mayWait: false);
        }

        report = report with { WaitSeconds = waited.TotalSeconds, ResidentBytes = ProcessMemory.Peak(), Transports = _transports };
        services.Vitals.Totals.Add(report);
        state.Reports.Add(report);
        session.Send(new WorkerMessage { Report = Wire.ToWire(report) });
    }

    /// <summary>
    /// Mostly a link breaks because a process is gone, which the coordinator sees for itself. Only where it says nothing in the time in which it notices a loss does
    /// this worker speak up.
    /// </summary>
    private async Task ReportBreakAsync(GenerationRun generation)
    {
        var (peer, reason) = await generation.Broken;
        try
        {
            Log.LinkBroke(logger, peer, reason);
            await Task.Delay(session.Timeouts.LinkReport, time, session.Ended);
            session.Send(new WorkerMessage
            {
                LinkBroke = new LinkBroke { Generation = generation.Peers.Tag.Generation, Peer = peer, Reason = reason },
            });
        }
        catch (Exception) when (session.Outcome.IsCompleted)
        {
            // The session is over.
        }
        catch (Exception e)
        {
            Fail(e.Message, e);
        }
    }

    private void PrepareCheckpoint(OperationDescriptor operation)
    {
        if (operation.CheckpointWriter >= 0 && operation.CheckpointWriter == _generation?.Peers.Rank)
        {
            _sender.Prepare();
        }
    }

    private RunOutcome Fail(string message, Exception? cause)
    {
        // torch's messages go on with the C++ frames they come from.
        var sentence = message.Split('\n', 2)[0].TrimEnd();

        // The coordinator first: it ends the run, whatever becomes of the log.
        session.Send(new WorkerMessage { Fault = new Fault { Sentence = sentence } });
        Log.Failed(logger, _generation?.Operation ?? 0, sentence, cause);
        return new RunOutcome(false, sentence);
    }
}
