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
    private readonly GrpcChannel _channel;
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
        _channel = channel;
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

    /// <summary>Begins a session.</summary>
    /// <param name="address">The coordinator.</param>
    /// <param name="channel">A channel to it; the session's from here on.</param>
    /// <param name="call">The call in which it has answered.</param>
    /// <param name="welcome">The answer.</param>
    /// <param name="time">The clock.</param>
    public static CoordinatorSession Begin(
        Uri address, GrpcChannel channel, AsyncDuplexStreamingCall<WorkerMessage, CoordinatorMessage> call, CoordinatorMessage welcome, TimeProvider time)
    {
        var session = new CoordinatorSession(address, channel, call, time) { Welcome = welcome.Welcome };
        session.Start(welcome);
        return session;
    }

    /// <summary>How often this worker was told to prepare, to keep or to learn, and has ended what it did before.</summary>
    public uint Told { get; set; }

    /// <summary>Whether this worker has said that it cannot go on.</summary>
    public bool HasFailed { get; private set; }

    /// <summary>Sends a message; it is on its way when this returns, or the session is over.</summary>
    public void Send(WorkerMessage message)
    {
        (message.Run, message.Term, message.Told) = (_run, _term, Told);
        HasFailed |= message.BodyCase == WorkerMessage.BodyOneofCase.Fault;
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
        _channel.Dispose();
        _ended.Dispose();
    }

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
                    End(new RunOutcome(false, $"The coordinator refused this worker. {message.Refusal.Sentence}") { IsRefusal = true }, MayReturn.No);
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
