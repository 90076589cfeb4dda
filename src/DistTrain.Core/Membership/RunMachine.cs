using DistTrain.Core.Journals;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <summary>
/// Every decision of the coordinator: whom to admit, when to begin, what comes next, what becomes of a loss, when it is over. Events go in with the time,
/// effects come out; there is no clock, no socket and no file in here, so that whole runs can be simulated.
/// </summary>
/// <remarks>
/// A run <i>gathers</i> workers that hold its newest checkpoint, then <i>trains</i> in generations. A loss forms the next generation at once: its members
/// link, say what they hold, and the operations that were under way are handed out again around it. A joiner learns the state from a member, and a
/// worker that leaves finishes its step: both change the generation between two operations. When no member is left, the run gathers again.
/// </remarks>
public sealed partial class RunMachine
{
    /// <summary>The version of the messages; raised when an old peer could misread a new one.</summary>
    public const int Protocol = 3;

    /// <summary>A run whose gradients are not finite this many times in a row has diverged.</summary>
    public const int MaxSkippedSteps = 20;

    /// <summary>How often the state of the last step is asked for before the run fails for want of it.</summary>
    public const int MaxSaves = 3;

    /// <summary>How often every member may be lost in a row without one operation completed in between.</summary>
    public const int MaxFruitlessReturns = 20;

    /// <summary>How often in a row a step that is computed again may not fit a worker's memory, before the run ends where no other worker is left.</summary>
    public const int MaxRepeatedShortages = 3;

    private const int OperationsAhead = 2;
    private const int HashesRemembered = 64;

    private readonly Timeouts _timeouts;
    private readonly string _version;
    private readonly string _fingerprint;
    private readonly Roster _workers = new();
    private readonly OpenOperations _open = new();
    private readonly Dictionary<ulong, string> _hashes = [];
    private readonly Dictionary<long, CoursePosition> _positions = new() { [0] = CoursePosition.Start };
    private readonly Dictionary<long, string> _checkpointHashes = [];
    private readonly List<RunEffect> _effects = [];

    private RunOptions _options;
    private readonly ListeningClock _listening;
    private TimeSpan _now;
    private int _builder = -1;
    private WorkerPreparation? _reference;
    private RunCourse? _course;
    private CoursePosition _position = CoursePosition.Start;
    private TimeSpan? _gatheredSince;
    private List<int> _ranks = [];
    private int _linked;
    private int _leaving;
    private bool _isChanging;
    private bool _isPlanned;
    private bool _isRelinked;
    private long _publishedStep = -1;
    private long _writtenStep = -1;
    private string? _writtenHash;
    private (int Worker, long Step) _writer;
    private (long Step, int Failures) _save;
    private bool _allIssued;
    private bool _hasBegun;
    private int _skipped;
    private int _fruitlessReturns;
    private int _ties;
    private ulong _recorded;

    // The last operation up to which every one has its line; a return to a checkpoint leaves the lines.
    private ulong _written;
    private long _recordedStep;

    // Since when there has been no member, and how many workers may come back with a state. Null while there are members, and before there were any.
    private TimeSpan? _aloneSince;
    private int _holders;
    private bool _isStopping;
    private TimeSpan _stoppingSince;

    /// <summary>A run before its first worker.</summary>
    /// <param name="options">The configuration, valid.</param>
    /// <param name="version">The coordinator's own version, which workers must share.</param>
    /// <param name="configurationFingerprint">Of the identity; a worker that was given a configuration must share it.</param>
    /// <param name="memory">What a coordinator that starts again knows; null for a new run.</param>
    public RunMachine(RunOptions options, string version, string configurationFingerprint, RunMemory? memory = null)
    {
        _options = options.WithMicro(memory?.MicroBatch ?? 0);
        _isAuto = options.Batch.IsAuto;
        _decider = new RunDecider(_options);
        _timeouts = new Timeouts(options.FailureDetection);
        _listening = new ListeningClock(2 * _timeouts.Heartbeat);
        _version = version;
        _fingerprint = configurationFingerprint;
        _progress = new ProgressWatch(_timeouts.NoProgress);
        if (memory is not null)
        {
            Remember(memory);
        }
    }

    /// <summary>The current generation; 0 before the first.</summary>
    public ulong Generation { get; private set; }

    /// <summary>Whether every worker so far computes the same bits; false only where mixed hosts are allowed.</summary>
    public bool PromisesSameBits { get; private set; } = true;

    /// <summary>The step of the checkpoint a run without members goes back to; -1 before the first.</summary>
    public long Checkpoint => _publishedStep;

    /// <summary>How often a worker was looked at so far, to hold what an event costs against how many there are.</summary>
    public long Looks => _workers.Looks;

    /// <summary>Whether the run has ended.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>The course of the run, once the sizes of the data are known.</summary>
    public RunCourse? Course => _course;

    /// <summary>What the sums of an evaluation are, once known.</summary>
    public EvaluationForm Evaluation => _reference?.Evaluation ?? new EvaluationForm([]);

    private IEnumerable<Member> Trainers => _ranks.Select(id => _workers[id]);

    /// <summary>The last operation that the newest checkpoint contains.</summary>
    private ulong CheckpointOperation => _positions.TryGetValue(_publishedStep, out var after) ? after.NextOperation - 1 : 0;

    /// <summary>The time by which silence and progress are measured.</summary>
    private TimeSpan Listened => _listening.At(_now);

    private bool IsLinked => _ranks.Count > 0 && _linked == _ranks.Count;

    /// <summary>The last operation handed out.</summary>
    private ulong LastIssued => _position.NextOperation - 1;

    /// <summary>Takes one event.</summary>
    /// <param name="happened">What happened.</param>
    /// <param name="now">When, on a clock that never goes back.</param>
    /// <returns>What has to be done, in order.</returns>
    public IReadOnlyList<RunEffect> Handle(RunEvent happened, TimeSpan now)
    {
        _effects.Clear();
        _now = now;
        if (HasEnded)
        {
            return [];
        }

        switch (happened)
        {
            case RunEvent.Arrived e:
                Arrive(e.Worker, e.Hello);
                break;
            case RunEvent.CheckpointPublished e:
                TakeCheckpoint(e.Step, e.WeightsHash);
                break;
            case RunEvent.CheckpointFailed e:
                LoseCheckpoint(e.Worker, e.Step, e.Reason);
                break;
            case RunEvent.Stopped e:
                Stop(e.Reason);
                break;
            case RunEvent.TimePassed:
                _listening.Tick(now);
                LoseTheSilent();
                PrepareArrived();
                BeginIfGathered();
                StopAtLast();
                break;
            default:
                HandleWorker(happened);
                break;
        }

        return [.. _effects];
    }

    private void HandleWorker(RunEvent happened)
    {
        var id = happened switch
        {
            RunEvent.Prepared e => e.Worker,
            RunEvent.Kept e => e.Worker,
            RunEvent.Learned e => e.Worker,
            RunEvent.LearningFailed e => e.Worker,
            RunEvent.Linked e => e.Worker,
            RunEvent.LinkBroke e => e.Worker,
            RunEvent.Heard e => e.Worker,
            RunEvent.Reported e => e.Worker,
            RunEvent.Gone e => e.Worker,
            RunEvent.Faulted e => e.Worker,
            RunEvent.OutOfMemory e => e.Worker,
            RunEvent.LeaveAsked e => e.Worker,
            _ => throw new ArgumentException($"Unknown event {happened.GetType().Name}.", nameof(happened)),
        };
        if (!_workers.TryGet(id, out var member))
        {
            return;
        }

        member.LastHeard = Listened;
        if (happened.Told < member.Told)
        {
            // Its answer to what it was told since is still to come.
            return;
        }

        switch (happened)
        {
            case RunEvent.Prepared e:
                TakePreparation(member, e.Preparation);
                break;
            case RunEvent.Kept e:
                TakeKept(member, e.Preparation, e.Reports, e.Generation);
                break;
            case RunEvent.Learned e when member.Stage == Stage.Learning:
                member.Applied = e.Applied;
                ChangeIfDrained();
                break;
            case RunEvent.LearningFailed e when member.Stage == Stage.Learning:
                _effects.Add(new RunEffect.Announce("learning-failed", $"{member.Name} could not copy the state: {e.Reason}. It tries again."));
                // It is told again when the clock moves: a source that refuses would be asked without a pause.
                member.Stage = Stage.Arrived;
                ChangeIfDrained();
                break;
            case RunEvent.LearningFailed when member.Stage == Stage.Preparing && (member.Offer is not null || member.Applied != CheckpointOperation):
                // The state it brought along is written over in part, or the checkpoint it was told to get is not kept any more: there is a newer one.
                (member.Stage, member.Offer) = (Stage.Arrived, null);
                PrepareArrived();
                BeginIfGathered();
                break;
            case RunEvent.LearningFailed e when member.Stage == Stage.Preparing:
                Fail(member, e.Reason);
                break;
            case RunEvent.Linked e when e.Generation == Generation && member.Stage == Stage.Training:
                PlanGeneration();
                _linked += member.IsLinked ? 0 : 1;
                (member.IsLinked, member.Applied, member.Held, member.HeldMicro, member.Transports) = (true, e.Applied, e.Held, e.Micro, e.Transports);
                ResumeIfLinked();
                break;
            case RunEvent.LinkBroke e when e.Generation == Generation && member.Stage == Stage.Training && e.Peer >= 0 && e.Peer < _ranks.Count:
                TakeBrokenLink(member, _workers[_ranks[e.Peer]], e.Reason);
                break;
            case RunEvent.Heard e:
                _progress.Hear(member.Id, e.Operation, e.BlocksDone, Listened);
                break;
            case RunEvent.Reported e:
                TakeReport(member, e.Report);
                break;
            case RunEvent.Gone e:
                Lose(member, e.Reason, e.MayReturn);
                break;
            case RunEvent.Faulted e:
                Fail(member, e.Sentence);
                break;
            case RunEvent.OutOfMemory e when e.Generation == Generation && member.Stage == Stage.Training:
                TakeOutOfMemory(member, e.Operation, e.Sentence);
                break;
            case RunEvent.LeaveAsked e:
                Leave(member, e.Sentence);
                break;
        }
    }

    /// <summary>A worker cannot go on. Where it is the only one, the run cannot either: whoever comes next would meet the same.</summary>
    private void Fail(Member member, string sentence)
    {
        if (_workers.Count == 1)
        {
            Finish(new RunOutcome(false, $"{member.Name} cannot go on: {sentence}"));
        }
        else
        {
            Lose(member, $"it cannot go on: {sentence.TrimEnd('.')}");
        }
    }

    /// <summary>Goes on where another coordinator left off.</summary>
    private void Remember(RunMemory memory)
    {
        (Generation, _holders, PromisesSameBits, _skipped) = (memory.Generation, memory.Members, memory.PromisesSameBits, memory.Skipped);
        (_publishedStep, _writtenStep, _aloneSince, _recordedStep) = (memory.Checkpoint, memory.Checkpoint, TimeSpan.Zero, memory.RecordedStep);
        if (memory.Reference is not { } reference)
        {
            return;
        }

        _reference = reference;
        _course = memory.CourseOf(_options)!;
        // The numbers are those of a course with other evaluations, perhaps.
        _halvings.AddRange(memory.Geometry.Select(halved => halved with { Operation = _course.FirstFrom(halved.Change.Kind, halved.Change.Step) }));
        _givenBefore = memory.Generation;
        for (var at = CoursePosition.Start; _course.Next(at) is var (operation, next); at = next)
        {
            // An evaluation before the last step that was written down has no line where the run was not told to evaluate then.
            var hasLine = operation.Kind == OperationKind.Train ? operation.Step <= memory.RecordedStep : memory.Losses.ContainsKey(operation.Step);
            if (!hasLine && (operation.Kind == OperationKind.Train || operation.Step >= memory.RecordedStep))
            {
                break;
            }

            if (hasLine)
            {
                var shown = memory.Shown(operation);
                _course = _course.With(shown);
                _decider.Take(shown, _course);
            }

            _recorded = _written = operation.Number;
        }

        if (_publishedStep > 0)
        {
            _positions.Clear();
            _positions[_publishedStep] = _course.AfterStep(_publishedStep);
        }

        _position = _positions[Math.Max(0, _publishedStep)];
    }

    /// <summary>Nothing more is handed out; what is under way is completed, and its state written.</summary>
    private void Stop(string reason)
    {
        if (_ranks.Count == 0)
        {
            var next = _publishedStep < 0 ? "No step was done: --resume begins the run." : $"--resume goes on from checkpoint {_publishedStep}.";
            Finish(new RunOutcome(true, $"{reason} {next}") { Status = RunStatus.Stopped });
            return;
        }

        if (!_isStopping)
        {
            _effects.Add(new RunEffect.Announce("stopping", $"{reason} The run finishes what is under way and writes its state."));
            (_isStopping, _stoppingSince, _allIssued, _isChanging) = (true, _now, true, false);
            FinishIfDone();
        }
    }

    /// <summary>A run that is asked to end is not kept from it for ever.</summary>
    private void StopAtLast()
    {
        if (_isStopping && !HasEnded && _now - _stoppingSince > _timeouts.Stop)
        {
            Finish(new RunOutcome(false, $"The state after step {_position.Steps} was not written in {Duration.Format(_timeouts.Stop)}: --resume goes on from checkpoint {_publishedStep}."));
        }
    }

    private void Finish(RunOutcome outcome)
    {
        HasEnded = true;
        _effects.Add(new RunEffect.Write(new JournalEntry.End(outcome.Status, outcome.Sentence)));
        _effects.Add(new RunEffect.Finish(outcome));
    }
}
