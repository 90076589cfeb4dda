using System.Threading.Channels;
using DistTrain.Core;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTrain.Worker;

/// <summary>
/// A worker's one call to its coordinator. What the coordinator decides comes out of <see cref="Inbox"/> in order; the end, whoever brought it
/// about, cancels <see cref="Ended"/> and is told by <see cref="Outcome"/>.
/// </summary>
internal sealed class CoordinatorSession : IAsyncDisposable
{
    private readonly Uri _address;
    private readonly TimeProvider _time;
    private readonly AsyncDuplexStreamingCall<WorkerMessage, CoordinatorMessage> _call;
    private readonly Channel<CoordinatorMessage> _inbox = Channel.CreateUnbounded<CoordinatorMessage>();
    private readonly Channel<WorkerMessage> _outbox = Channel.CreateUnbounded<WorkerMessage>();
    private readonly CancellationTokenSource _ended = new();
    private readonly TaskCompletionSource<SessionEnd> _outcome = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<Task> _tasks = [];
    private long _lastHeard;
    private volatile bool _settled;
    private ulong _run;
    private ulong _term;

    private CoordinatorSession(
        Uri address, GrpcChannel channel, AsyncDuplexStreamingCall<WorkerMessage, CoordinatorMessage> call, TimeProvider time)
    {
        _address = address;
        _time = time;
        _call = call;
        Client = new Protocol.V1.Coordinator.CoordinatorClient(channel);
    }

    /// <summary>The coordinator's other calls.</summary>
    public Protocol.V1.Coordinator.CoordinatorClient Client { get; }

    /// <summary>The run's id and the coordinator's term.</summary>
    public (ulong Run, ulong Term) Tag => (_run, _term);

    /// <summary>What the coordinator said at the door.</summary>
    public required Welcome Welcome { get; init; }

    /// <summary>How long everything may take in this run.</summary>
    public Timeouts Timeouts => new(TimeSpan.FromMilliseconds(Welcome.SilenceMilliseconds));

    /// <summary>Preparations, generations, plans and operations, in order.</summary>
    public ChannelReader<CoordinatorMessage> Inbox => _inbox.Reader;

    /// <summary>Cancelled when the session is over.</summary>
    public CancellationToken Ended => _ended.Token;

    /// <summary>Why the session is over.</summary>
    public Task<SessionEnd> Outcome => _outcome.Task;

    /// <summary>What heartbeats say of this worker's progress.</summary>
    public Func<Heartbeat> Progress { get; set; } = () => new Heartbeat();

    /// <summary>Told of the last operation that the coordinator has written down for good.</summary>
    public Action<ulong> Written { get; set; } = _ => { };

    /// <summary>Says hello until the coordinator answers.</summary>
    /// <param name="address">The coordinator.</param>
    /// <param name="channel">A channel to it; the caller's.</param>
    /// <param name="hello">What the worker says of itself.</param>
    /// <param name="known">The run and the highest term it has heard of; a coordinator of that run and a lower term has been replaced, and is not listened to.</param>
    /// <param name="patience">How long the coordinator may be out of reach.</param>
    /// <param name="timeouts">The run's, or at the start the default's: how often it is tried.</param>
    /// <param name="time">The clock.</param>
    /// <param name="waiting">Told once, in a sentence, that the coordinator does not answer yet.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <exception cref="WorkerException">The coordinator is out of reach, or refuses this worker.</exception>
    public static async Task<CoordinatorSession> JoinAsync(
        Uri address, GrpcChannel channel, Hello hello, (ulong Run, ulong Term) known, TimeSpan patience, Timeouts timeouts, TimeProvider time, Action<string> waiting,
        CancellationToken cancellation)
    {
        var reason = "no answer";
        using var deadline = new CancellationTokenSource(patience, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancellation, deadline.Token);
        for (var pause = timeouts.FirstRedial; ; pause = TimeSpan.FromTicks(Math.Min(2 * pause.Ticks, timeouts.LongestRedial.Ticks)))
        {
            var call = new Protocol.V1.Coordinator.CoordinatorClient(channel).Attend(cancellationToken: CancellationToken.None);
            try
            {
                await call.RequestStream.WriteAsync(new WorkerMessage { Hello = hello }, both.Token);
                if (!await call.ResponseStream.MoveNext(both.Token))
                {
                    throw new WorkerException($"The coordinator at {address} ended the call without an answer.");
                }

                var answer = call.ResponseStream.Current;
                switch (answer.BodyCase)
                {
                    case CoordinatorMessage.BodyOneofCase.Welcome when answer.Run == known.Run && answer.Term < known.Term:
                        throw new RpcException(new Status(StatusCode.Unavailable, $"it is of term {answer.Term}, the run's is {known.Term}"));
                    case CoordinatorMessage.BodyOneofCase.Welcome:
                        var session = new CoordinatorSession(address, channel, call, time) { Welcome = answer.Welcome };
                        session.Start(answer);
                        return session;
                    case CoordinatorMessage.BodyOneofCase.Refusal:
                        throw new WorkerException($"The coordinator at {address} refused this worker. {answer.Refusal.Sentence}");
                    case CoordinatorMessage.BodyOneofCase.Dismissal:
                        throw new WorkerException($"The coordinator at {address} sent this worker away: {answer.Dismissal.Sentence}");
                    default:
                        throw new WorkerException($"The coordinator at {address} answered with {answer.BodyCase}: install the same version on both.");
                }
            }
            catch (Exception e) when (IsOutOfReach(e) && !both.IsCancellationRequested)
            {
                call.Dispose();
                if (reason != (reason = Reason(e)))
                {
                    waiting($"The coordinator at {address} does not answer yet ({reason}); trying for {Duration.Format(patience)}.");
                }

                await Task.Delay(pause, time, both.Token).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            }
            catch (Exception e) when (deadline.IsCancellationRequested && !cancellation.IsCancellationRequested)
            {
                call.Dispose();
                throw new WorkerException(
                    $"The coordinator at {address} was not reached within {Duration.Format(patience)} ({reason}): see that it runs and that the address is right.", e);
            }
            catch (RpcException e) when (!cancellation.IsCancellationRequested)
            {
                call.Dispose();
                throw new WorkerException($"{address} does not answer as a coordinator does: see that the address is right. ({e.Status.Detail})", e);
            }
        }
    }

    /// <summary>How often this worker was told to prepare, to keep or to learn, and has ended what it did before.</summary>
    public uint Told { get; set; }

    /// <summary>Sends a message; it is on its way when this returns, or the session is over.</summary>
    public void Send(WorkerMessage message)
    {
        (message.Run, message.Term, message.Told) = (_run, _term, Told);
        _outbox.Writer.TryWrite(message);
    }

    /// <summary>Sends what is queued, hears the coordinator out, then ends the call; one that says nothing is not waited for longer than silence counts.</summary>
    public async ValueTask DisposeAsync()
    {
        _outbox.Writer.TryComplete();
        using var deadline = new CancellationTokenSource(Timeouts.Silence, _time);

        // Ending the call at once would make the coordinator forget what it has not read yet, such as why this worker cannot go on.
        await Task.WhenAny(Task.WhenAll(_tasks[0], _tasks[1]), Task.Delay(Timeout.InfiniteTimeSpan, _time, deadline.Token));
        End(new RunOutcome(false, "The worker ended."), MayReturn.No);
        await Task.WhenAll(_tasks);
        _call.Dispose();
        _ended.Dispose();
    }

    private static bool IsOutOfReach(Exception e) =>
        e is RpcException { StatusCode: StatusCode.Unavailable or StatusCode.Internal or StatusCode.Cancelled } or IOException or InvalidOperationException;

    /// <summary>The system's word for what went wrong, without the layers around it.</summary>
    private static string Reason(Exception e) =>
        e is RpcException { Status.DebugException: { } inner } ? inner.GetBaseException().Message : e.GetBaseException().Message;

    private void Start(CoordinatorMessage welcome)
    {
        (_run, _term) = (welcome.Run, welcome.Term);
        _lastHeard = _time.GetTimestamp();
        _tasks.AddRange([SendAsync(), ReceiveAsync(), BeatAsync()]);
    }

    private void End(RunOutcome outcome, MayReturn mayReturn, bool wasDismissed = false)
    {
        if (_outcome.TrySetResult(new SessionEnd(outcome, mayReturn, wasDismissed)))
        {
            _inbox.Writer.TryComplete();
            _ended.Cancel();
        }
    }

    private async Task SendAsync()
    {
        try
        {
            await foreach (var message in _outbox.Reader.ReadAllAsync(_ended.Token))
            {
                await _call.RequestStream.WriteAsync(message, _ended.Token);
            }

            await _call.RequestStream.CompleteAsync();
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException or InvalidOperationException or IOException)
        {
            // The receiving half learns why, and says so.
        }
    }

    private async Task ReceiveAsync()
    {
        try
        {
            while (await _call.ResponseStream.MoveNext(_ended.Token))
            {
                var message = _call.ResponseStream.Current;
                Volatile.Write(ref _lastHeard, _time.GetTimestamp());
                if (message.Run != _run || message.Term != _term)
                {
                    End(new RunOutcome(false, $"The coordinator at {_address} speaks of run {message.Run:x16}, term {message.Term}: it is not this worker's."), MayReturn.No);
                }
                else if (message.BodyCase == CoordinatorMessage.BodyOneofCase.Dismissal)
                {
                    var after = !message.Dismissal.MayReturn ? MayReturn.No : message.Dismissal.DropState ? MayReturn.Anew : MayReturn.WithState;
                    End(new RunOutcome(message.Dismissal.Success, message.Dismissal.Sentence), after, wasDismissed: true);
                }
                else if (message.BodyCase == CoordinatorMessage.BodyOneofCase.Refusal)
                {
                    End(new RunOutcome(false, $"The coordinator refused this worker. {message.Refusal.Sentence}"), MayReturn.No);
                }
                else if (message.BodyCase == CoordinatorMessage.BodyOneofCase.Heartbeat)
                {
                    Written(message.Heartbeat.Written);
                }
                else
                {
                    _settled |= message.BodyCase == CoordinatorMessage.BodyOneofCase.Operation;
                    _inbox.Writer.TryWrite(message);
                }
            }

            End(new RunOutcome(false, $"The coordinator at {_address} ended the call."), MayReturn.WithState);
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException or IOException)
        {
            End(new RunOutcome(false, $"The connection to the coordinator at {_address} broke."), MayReturn.WithState);
        }
    }

    private async Task BeatAsync()
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(Welcome.HeartbeatMilliseconds), _time);
        try
        {
            while (await timer.WaitForNextTickAsync(_ended.Token))
            {
                Send(new WorkerMessage { Heartbeat = Progress() });
                var allowed = _settled ? Timeouts.Silence : Timeouts.StartUpSilence;
                if (_time.GetElapsedTime(Volatile.Read(ref _lastHeard)) > allowed)
                {
                    End(new RunOutcome(false, $"The coordinator at {_address} was silent for {Duration.Format(allowed)}."), MayReturn.WithState);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The session is over.
        }
    }
}
