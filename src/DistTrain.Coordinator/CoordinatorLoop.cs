using System.Threading.Channels;
using DistTrain.Coordinator.Checkpoints;
using DistTrain.Core;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using RunEvent = DistTrain.Core.Membership.RunEvent;

namespace DistTrain.Coordinator;

/// <summary>
/// The shell around <see cref="RunMachine"/>: events come in through one queue, are decided one after the other, and what was decided is carried
/// out before the next. Nothing here decides.
/// </summary>
internal sealed partial class CoordinatorLoop
{
    private readonly RunOptions _options;
    private readonly RunMachine _machine;
    private readonly RunFolder _folder;
    private readonly RunLedger _ledger;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly long _started;
    private readonly Channel<RunEvent> _events = Channel.CreateUnbounded<RunEvent>(new UnboundedChannelOptions { SingleReader = true });
    private readonly Dictionary<int, WorkerConnection> _connections = [];

    /// <summary>The plan by which an operation was last handed out; of one that is not recorded, it is replaced when it is handed out again.</summary>
    private readonly Dictionary<ulong, ulong> _plans = [];

    private readonly string _fingerprint;
    private IReadOnlyList<int> _members = [];
    private RunOutcome? _outcome;
    private int _lastWorker = -1;

    public CoordinatorLoop(RunOptions options, ulong run, RunFolder folder, CheckpointStore checkpoints, TimeProvider time, ILogger<CoordinatorLoop> logger)
    {
        _options = options;
        _folder = folder;
        _time = time;
        _logger = logger;
        _started = time.GetTimestamp();
        _fingerprint = ProgramIdentity.Fingerprint(options);
        _machine = new RunMachine(options, ProgramIdentity.Version, _fingerprint);
        _ledger = new RunLedger(time);
        Run = run;
        Checkpoints = checkpoints;
        Due = new DueCheckpoints(options);
        Timeouts = new Timeouts(options.FailureDetection);
    }

    /// <summary>The run's id.</summary>
    public ulong Run { get; }

    /// <summary>Raised at every start of the coordinator.</summary>
    public ulong Term { get; } = 1;

    /// <summary>Where states are kept.</summary>
    public CheckpointStore Checkpoints { get; }

    /// <summary>Which states may come.</summary>
    public DueCheckpoints Due { get; }

    /// <summary>Everyone who watches.</summary>
    public WatchHub Watchers { get; } = new();

    /// <summary>How long everything may take.</summary>
    public Timeouts Timeouts { get; }

    /// <summary>The clock.</summary>
    public TimeProvider Time => _time;

    /// <summary>Hands in an event.</summary>
    public void Post(RunEvent happened) => _events.Writer.TryWrite(happened);

    /// <summary>A new worker's way out; its id is never used twice.</summary>
    public WorkerConnection Connect()
    {
        lock (_connections)
        {
            var connection = new WorkerConnection(++_lastWorker);
            _connections.Add(connection.Worker, connection);
            return connection;
        }
    }

    /// <summary>Forgets a worker's way out.</summary>
    public void Disconnect(WorkerConnection connection)
    {
        lock (_connections)
        {
            _connections.Remove(connection.Worker);
        }

        connection.End();
    }

    /// <summary>Waits until every worker has ended its call, as it does when it was dismissed; for one that does not, a bounded time.</summary>
    public async Task DrainAsync()
    {
        Task[] calls;
        lock (_connections)
        {
            calls = [.. _connections.Values.Select(c => c.Ended)];
        }

        await Task.WhenAny(Task.WhenAll(calls), Task.Delay(Timeouts.LastWords, _time));
    }

    /// <summary>Whether a worker may move states: it was let in and is still here.</summary>
    public bool IsAdmitted(int worker)
    {
        lock (_connections)
        {
            return _connections.TryGetValue(worker, out var connection) && connection.IsAdmitted;
        }
    }

    /// <summary>Decides until the run has ended.</summary>
    public async Task<RunOutcome> RunAsync(CancellationToken cancellation)
    {
        using var asked = cancellation.Register(() => Post(new RunEvent.Stopped("The coordinator was asked to end.")));
        using var beats = new CancellationTokenSource();
        var beating = BeatAsync(beats.Token);
        try
        {
            await foreach (var happened in _events.Reader.ReadAllAsync(CancellationToken.None))
            {
                foreach (var effect in _machine.Handle(happened, _time.GetElapsedTime(_started)))
                {
                    CarryOut(effect, happened);
                }

                if (_outcome is not null)
                {
                    break;
                }
            }
        }
        finally
        {
            await beats.CancelAsync();
            await beating;
        }

        return _outcome!;
    }

    private void CarryOut(RunEffect effect, RunEvent cause)
    {
        switch (effect)
        {
            case RunEffect.Welcome e:
                _ledger.NoteHost(((RunEvent.Arrived)cause).Hello.Host);
                Welcome(e.Worker);
                break;
            case RunEffect.Refuse e:
                Find(e.Worker)?.Close(Tag(new CoordinatorMessage { Refusal = Wire.ToWire(e.Reason, e.Sentence) }));
                break;
            case RunEffect.Prepare e:
                Send(e.Worker, new CoordinatorMessage { Prepare = new Prepare { Build = e.Build, Checkpoint = e.Checkpoint, Applied = e.Applied } });
                break;
            case RunEffect.Learn e:
                Send(e.Worker, new CoordinatorMessage { Learn = new Learn { Source = e.Source, Address = Find(e.Source)?.Address ?? "" } });
                break;
            case RunEffect.Save e:
                Due.Await(e.Step, Checkpoints.Newest?.Header.Step ?? 0);
                Send(e.Worker, new CoordinatorMessage { Save = new Save { Step = e.Step } });
                break;
            case RunEffect.Dismiss e:
                Find(e.Worker)?.Close(Tag(new CoordinatorMessage
                {
                    Dismissal = new Dismissal { Success = e.Success, Sentence = e.Sentence, MayReturn = e.MayReturn },
                }));
                break;
            case RunEffect.FormGeneration e:
                if (cause is RunEvent.Gone or RunEvent.Faulted or RunEvent.TimePassed && e.Generation > 1)
                {
                    _ledger.NoteLoss();
                }

                FormGeneration(e);
                break;
            case RunEffect.SendPlan e:
                _folder.Append(e.Plan, _machine.Generation);
                SendAll(new CoordinatorMessage { Plan = Wire.ToWire(e.Plan) });
                break;
            case RunEffect.Issue e:
                Issue(e);
                break;
            case RunEffect.Record e:
                Record(e);
                break;
            case RunEffect.Announce e:
                Log.Happened(_logger, e.Name, e.Sentence);
                _folder.Append(e.Name, e.Sentence, _machine.Generation);
                Watchers.Publish(new Protocol.V1.RunEvent { Happening = new Happening { Name = e.Name, Sentence = e.Sentence } });
                break;
            case RunEffect.Finish e:
                Finish(e.Outcome);
                break;
        }
    }

    private void Welcome(int worker)
    {
        var welcome = new Welcome
        {
            Worker = worker,
            RunName = _options.Name,
            ConfigurationFingerprint = _fingerprint,
            HeartbeatMilliseconds = (long)Timeouts.Heartbeat.TotalMilliseconds,
            SilenceMilliseconds = (long)Timeouts.Silence.TotalMilliseconds,
        };
        welcome.Configuration.Add(OptionsReader.Write(_options));
        if (Find(worker) is { } connection)
        {
            connection.IsAdmitted = true;
        }

        Send(worker, new CoordinatorMessage { Welcome = welcome });
    }

    private void FormGeneration(RunEffect.FormGeneration e)
    {
        _members = e.Members;
        var membership = new Protocol.V1.Membership { Generation = e.Generation };
        membership.Members.AddRange(e.Members.Select(id => new Member { Worker = id, Address = Find(id)?.Address ?? "" }));
        SendAll(new CoordinatorMessage { Membership = membership });
        _ledger.NoteWorkers(e.Members.Count);
        if (e.Generation > 1)
        {
            return;
        }

        var course = _machine.Course!;
        Watchers.Publish(new Protocol.V1.RunEvent
        {
            Started = new RunStarted
            {
                Name = _options.Name,
                Folder = _folder.Path,
                TrainingSamples = course.TrainingSamples,
                TotalSteps = course.TotalSteps,
                TotalSamples = course.TotalSamples,
                GlobalBatch = _options.Batch.Global,
                MicroBatch = _options.Batch.Micro,
                WorldSize = e.Members.Count,
                Parameters = Checkpoints.Newest?.Parameters ?? 0,
            },
        });
    }

    private void Issue(RunEffect.Issue e)
    {
        if (e.Operation.Kind == OperationKind.Train)
        {
            Due.Remember(e.Operation);
        }

        if (e.CheckpointWriter >= 0)
        {
            Due.Await(e.Operation.Step, Checkpoints.Newest?.Header.Step ?? 0);
        }

        _plans[e.Operation.Number] = e.Plan;
        if (e.Shares is not null)
        {
            _folder.Append(e.Operation, e.Plan, _machine.Generation, e.Shares);
        }

        SendAll(new CoordinatorMessage { Operation = Wire.ToWire(e.Operation, e.Plan, e.CheckpointWriter, e.Shares) });
    }

    private void Record(RunEffect.Record e)
    {
        _folder.Append(e.Operation, e.Reports, _plans.Remove(e.Operation.Number, out var plan) ? plan : null);
        if (_ledger.Recovered(e) is { } recovery)
        {
            _folder.Append("recovered", $"Step {recovery.Step} was completed {recovery.Milliseconds:0} ms after the loss was noticed.", e.Generation);
        }

        if (e.Operation.Kind == OperationKind.Evaluate)
        {
            var evaluation = _ledger.Evaluation(e, _machine.Metrics);
            _folder.Append(evaluation);
            var done = new EvaluationDone
            {
                Step = evaluation.Step,
                Epoch = evaluation.Epoch,
                Samples = evaluation.Samples,
                Loss = evaluation.Loss ?? double.NaN,
            };
            foreach (var (name, value) in evaluation.Metrics)
            {
                done.Metrics[name] = value ?? double.NaN;
            }

            Watchers.Publish(new Protocol.V1.RunEvent { Evaluation = done });
            return;
        }

        var step = _ledger.Step(e, new RunLength(_machine.Course!.TrainingSamples, _options.Batch.Global).SamplesOf(e.Operation.Step));
        _folder.Append(step);
        Watchers.Publish(new Protocol.V1.RunEvent
        {
            Step = new StepDone
            {
                Step = step.Step,
                Epoch = step.Epoch,
                Samples = step.Samples,
                Loss = step.Loss ?? double.NaN,
                LearningRate = step.Lr,
                GradientNorm = step.GradNorm ?? double.NaN,
                Skipped = step.Skipped,
                WorldSize = step.WorldSize,
                Generation = step.Generation,
                StepMilliseconds = step.StepMs,
                SamplesPerSecond = step.SamplesPerSecond ?? double.NaN,
                WeightsHash = step.WeightsHash,
            },
        });
    }

    private void Finish(RunOutcome outcome)
    {
        Log.Finished(_logger, outcome.Success, outcome.Sentence);
        var summary = _folder.WriteSummary(_ledger.Summary(outcome, _machine, Checkpoints.Newest));
        var dismissal = new CoordinatorMessage { Dismissal = new Dismissal { Success = outcome.Success, Sentence = outcome.Sentence } };
        lock (_connections)
        {
            foreach (var connection in _connections.Values)
            {
                connection.Close(Tag(dismissal.Clone()));
            }
        }

        Watchers.Publish(new Protocol.V1.RunEvent
        {
            Finished = new RunFinished { Success = outcome.Success, Sentence = outcome.Sentence, SummaryJson = summary },
        });
        _outcome = outcome;
    }

    private void SendAll(CoordinatorMessage message)
    {
        foreach (var member in _members)
        {
            Send(member, message.Clone());
        }
    }

    private void Send(int worker, CoordinatorMessage message) => Find(worker)?.Send(Tag(message));

    private CoordinatorMessage Tag(CoordinatorMessage message)
    {
        (message.Run, message.Term) = (Run, Term);
        return message;
    }

    private WorkerConnection? Find(int worker)
    {
        lock (_connections)
        {
            return _connections.GetValueOrDefault(worker);
        }
    }

    private async Task BeatAsync(CancellationToken cancellation)
    {
        using var timer = new PeriodicTimer(Timeouts.Heartbeat, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellation))
            {
                Post(new RunEvent.TimePassed());
                lock (_connections)
                {
                    foreach (var connection in _connections.Values.Where(c => c.IsAdmitted))
                    {
                        connection.Send(Tag(new CoordinatorMessage { Heartbeat = new Heartbeat() }));
                    }
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The run has ended.
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "{Name}: {Sentence}", EventName = "happened")]
        public static partial void Happened(ILogger logger, string name, string sentence);

        [LoggerMessage(2, LogLevel.Information, "Finished, success {Success}: {Sentence}", EventName = "finished")]
        public static partial void Finished(ILogger logger, bool success, string sentence);
    }
}
