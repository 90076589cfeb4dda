using System.Threading.Channels;
using DistTrain.Coordinator.Checkpoints;
using DistTrain.Coordinator.Health;
using DistTrain.Core;
using DistTrain.Core.Health;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;
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
    private readonly Journal _journal;
    private readonly StepLines _lines;
    private readonly StepNoise _noise;
    private readonly CoordinatorVitals _vitals;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly long _started;
    private readonly Channel<RunEvent> _events = Channel.CreateUnbounded<RunEvent>(new UnboundedChannelOptions { SingleReader = true });

    /// <summary>The plan by which an operation was last handed out; of one that is not recorded, it is replaced when it is handed out again.</summary>
    private readonly Dictionary<ulong, ulong> _plans = [];

    private readonly string _fingerprint;
    private ulong _generation;
    private IReadOnlyList<int> _members = [];
    private volatile RunOutcome? _outcome;
    private bool _hasStarted;
    private string? _journalProblem;

    public CoordinatorLoop(RunOptions options, OpenedRun run, CoordinatorVitals vitals, TimeProvider time, ILogger<CoordinatorLoop> logger)
    {
        _vitals = vitals;
        _options = options;
        _folder = run.Folder;
        _journal = run.Journal;
        _time = time;
        _logger = logger;
        _started = time.GetTimestamp();
        _fingerprint = ProgramIdentity.Fingerprint(options);
        _machine = new RunMachine(options, ProgramIdentity.Version, _fingerprint, run.Memory);
        _ledger = new RunLedger(time);
        _noise = new StepNoise(options.Seed, () => _machine.Course?.Length);
        _lines = new StepLines(run.Folder, _ledger, run.Lines, run.Memory?.Checkpoint ?? 0, _noise, Beat);
        Run = run.Id;
        Term = run.Term;
        Workers = new WorkerConnections(run.Id, run.Term);
        Checkpoints = run.Checkpoints;
        Due = new DueCheckpoints(options, () => _machine.Options.Geometry);
        Timeouts = new Timeouts(options.FailureDetection);
        _vitals.Totals.Checkpoint = _machine.Checkpoint;
        Begin(run);
    }

    /// <summary>The run's id.</summary>
    public ulong Run { get; }

    /// <summary>Raised at every start of the coordinator.</summary>
    public ulong Term { get; }

    /// <summary>The ways to the workers.</summary>
    public WorkerConnections Workers { get; }

    /// <summary>Where states are kept.</summary>
    public CheckpointStore Checkpoints { get; }

    /// <summary>Which states may come.</summary>
    public DueCheckpoints Due { get; }

    /// <summary>Everyone who watches.</summary>
    public WatchHub Watchers { get; } = new();

    /// <summary>What is done to this process on purpose; mostly nothing.</summary>
    public CoordinatorFaults? Faults { get; init; }

    /// <summary>Whether the run has ended: nobody is let in any more.</summary>
    public bool HasEnded => _outcome is not null;

    /// <summary>How long everything may take.</summary>
    public Timeouts Timeouts { get; }

    /// <summary>The clock.</summary>
    public TimeProvider Time => _time;

    /// <summary>Hands in an event.</summary>
    public void Post(RunEvent happened) => _events.Writer.TryWrite(happened);

    /// <summary>Notes that a worker was given a part of the data.</summary>
    public void NoteData(DataRequest request, long bytes) => Log.Data(_logger, request.Worker, bytes, request.First, request.Offset);

    /// <summary>Whether a state that a worker has kept is one of this run, computed by the same configuration.</summary>
    public bool IsOfThisRun(Offer? offer) => offer is not null && offer.Run == Run && offer.ConfigurationFingerprint == _fingerprint;

    /// <summary>Decides until the run has ended.</summary>
    public async Task<RunOutcome> RunAsync(CancellationToken cancellation)
    {
        using var asked = cancellation.Register(() => Post(new RunEvent.Stopped("The coordinator was asked to end.")));
        using var beats = new CancellationTokenSource();
        var beating = BeatAsync(beats.Token);
        _vitals.Run(Timeouts);
        try
        {
            await foreach (var happened in _events.Reader.ReadAllAsync(CancellationToken.None))
            {
                _vitals.Turn();
                Faults?.Happened(happened, _members.Count);
                foreach (var effect in _machine.Handle(happened, _time.GetElapsedTime(_started)))
                {
                    CarryOut(effect, happened);
                    if (effect is RunEffect.Write && _outcome is not null)
                    {
                        // What rests on a decision that could not be made durable is not carried out.
                        break;
                    }
                }

                TellOfDisk();
                KeepWhatCounts();

                if (_outcome is not null)
                {
                    break;
                }
            }

            _vitals.Begin(CoordinatorPhase.Ending, $"{_outcome!.Sentence} It writes its last lines.");
            return await FinishAsync(_outcome!);
        }
        finally
        {
            await beats.CancelAsync();
            await beating;
        }
    }

    /// <summary>
    /// Of a checkpoint that counts the lines are made durable before an older one may go: without them a coordinator that starts again would not go back to it.
    /// </summary>
    private void KeepWhatCounts()
    {
        if (_machine.Checkpoint > Checkpoints.Counted)
        {
            Beat(_lines.Flush());
            Checkpoints.Counted = _vitals.Totals.Checkpoint = _machine.Checkpoint;
        }
    }

    private void TellOfDisk()
    {
        if (_folder.TakeNews() is var (name, sentence))
        {
            _journal.TryWrite(out _journalProblem);
            Announce(name, sentence);
        }
    }

    private void Announce(string name, string sentence)
    {
        Log.Happened(_logger, name, sentence);
        _ledger.NoteFailure(name, sentence);
        _vitals.Totals.Note(name);
        _folder.Append(name, sentence, _machine.Generation);
        Watchers.Publish(new Protocol.V1.RunEvent { Happening = new Happening { Name = name, Sentence = sentence } });
    }

    private RunLength Length => _machine.Course!.Length;

    private void Begin(OpenedRun run)
    {
        if (run.Memory is not { } memory)
        {
            return;
        }

        Announce("restarted", $"The coordinator started again, term {Term}. Steps up to {memory.RecordedStep} are written down, the newest checkpoint is of step {memory.Checkpoint}.");
        foreach (var remark in run.Remarks)
        {
            Announce("warning", remark);
        }

        _vitals.Totals.Restore(run.Lines.Steps.LastOrDefault(), _machine.Course?.ExpectedSteps ?? 0);
        if (memory.Generation > 0)
        {
            _ledger.NoteRestart();
        }
    }

    /// <summary>Tells the workers that the coordinator lives, and what they need not tell again.</summary>
    private void Beat(ulong written) => Workers.SendToAdmitted(new CoordinatorMessage { Heartbeat = new Heartbeat { Written = written } });

    /// <summary>Dismisses everyone, then writes down how the run ended. A run that leaves no summary has failed, whatever its weights.</summary>
    private async Task<RunOutcome> FinishAsync(RunOutcome outcome)
    {
        Log.Finished(_logger, outcome.Success, outcome.Sentence);
        _lines.Flush();
        Workers.CloseAll(new CoordinatorMessage { Dismissal = new Dismissal { Success = outcome.Success, Sentence = outcome.Sentence } });
        var (summary, problem) = await _folder.EndAsync(
            lost =>
            {
                if (lost is not null)
                {
                    Announce("lines-lost", lost);
                }

                return _ledger.Summary(outcome, _machine, Checkpoints.Newest) with { NoiseScale = _noise.Last() };
            },
            Timeouts.Summary);
        TellOfDisk();
        outcome = problem is null ? outcome : new RunOutcome(false, $"{outcome.Sentence} {problem}: make room, or let the folder be written.");
        Watchers.Publish(new Protocol.V1.RunEvent
        {
            Finished = new RunFinished { Success = outcome.Success, Sentence = outcome.Sentence, SummaryJson = summary },
        });
        return outcome;
    }

    private async Task BeatAsync(CancellationToken cancellation)
    {
        using var timer = new PeriodicTimer(Timeouts.Heartbeat, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellation))
            {
                Post(new RunEvent.TimePassed());
                Beat(_lines.Durable);
                _lines.BeginFlush();
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

        [LoggerMessage(3, LogLevel.Information, "Worker {Worker} was sent {Bytes} bytes of data, from file {File}, byte {Offset}, on", EventName = "data")]
        public static partial void Data(ILogger logger, int worker, long bytes, int file, long offset);
    }
}
