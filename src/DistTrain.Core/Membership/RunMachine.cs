using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
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
    public const int Protocol = 2;

    /// <summary>A run whose gradients are not finite this many times in a row has diverged.</summary>
    public const int MaxSkippedSteps = 20;

    /// <summary>
    /// How many times longer a silence is allowed before the first operation: many processes that load torch at once on few cores get no time to
    /// speak.
    /// </summary>
    public const int StartUpPatience = 10;

    /// <summary>How often the state of the last step is asked for before the run fails for want of it.</summary>
    public const int MaxSaves = 3;

    /// <summary>How often every member may be lost in a row without one operation completed in between.</summary>
    public const int MaxFruitlessReturns = 20;

    private const int OperationsAhead = 2;

    private readonly RunOptions _options;
    private readonly string _version;
    private readonly string _fingerprint;
    private readonly SortedDictionary<int, Member> _workers = [];
    private readonly OpenOperations _open = new();
    private readonly Dictionary<ulong, string> _hashes = [];
    private readonly Dictionary<long, CoursePosition> _positions = new() { [0] = CoursePosition.Start };
    private readonly List<RunEffect> _effects = [];

    private TimeSpan _now;
    private int _builder = -1;
    private WorkerPreparation? _reference;
    private RunCourse? _course;
    private CoursePosition _position = CoursePosition.Start;
    private TimeSpan? _gatheredSince;
    private List<int> _ranks = [];
    private BlockPlanTable? _plan;
    private bool _isChanging;
    private bool _isRelinked;
    private long _publishedStep = -1;
    private long _writtenStep = -1;
    private (int Worker, long Step) _writer;
    private int _saves;
    private bool _allIssued;
    private bool _hasBegun;
    private int _skipped;
    private int _fruitlessReturns;

    /// <summary>A run before its first worker.</summary>
    /// <param name="options">The configuration, valid.</param>
    /// <param name="version">The coordinator's own version, which workers must share.</param>
    /// <param name="configurationFingerprint">Of the identity; a worker that was given a configuration must share it.</param>
    public RunMachine(RunOptions options, string version, string configurationFingerprint)
    {
        _options = options;
        _version = version;
        _fingerprint = configurationFingerprint;
    }

    /// <summary>The current generation; 0 before the first.</summary>
    public ulong Generation { get; private set; }

    /// <summary>Whether every worker so far computes the same bits; false only where mixed hosts are allowed.</summary>
    public bool PromisesSameBits { get; private set; } = true;

    /// <summary>The step of the checkpoint a run without members goes back to; -1 before the first.</summary>
    public long Checkpoint => _publishedStep;

    /// <summary>Whether the run has ended.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>The course of the run, once the sizes of the data are known.</summary>
    public RunCourse? Course => _course;

    /// <summary>Names of the evaluation's sums, once known.</summary>
    public IReadOnlyList<string> Metrics => _reference?.Metrics ?? [];

    private IEnumerable<Member> Trainers => _ranks.Select(id => _workers[id]);

    private bool IsLinked => _ranks.Count > 0 && Trainers.All(m => m.IsLinked);

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
                TakeCheckpoint(e.Step);
                break;
            case RunEvent.CheckpointFailed e:
                LoseCheckpoint(e.Worker, e.Step, e.Reason);
                break;
            case RunEvent.Stopped e:
                Finish(new RunOutcome(false, e.Reason));
                break;
            case RunEvent.TimePassed:
                LoseTheSilent();
                BeginIfGathered();
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
            RunEvent.Learned e => e.Worker,
            RunEvent.LearningFailed e => e.Worker,
            RunEvent.Linked e => e.Worker,
            RunEvent.LinkBroke e => e.Worker,
            RunEvent.Heard e => e.Worker,
            RunEvent.Reported e => e.Worker,
            RunEvent.Gone e => e.Worker,
            RunEvent.Faulted e => e.Worker,
            RunEvent.LeaveAsked e => e.Worker,
            _ => throw new ArgumentException($"Unknown event {happened.GetType().Name}.", nameof(happened)),
        };
        if (!_workers.TryGetValue(id, out var member))
        {
            return;
        }

        member.LastHeard = _now;
        switch (happened)
        {
            case RunEvent.Prepared e:
                TakePreparation(member, e.Preparation);
                break;
            case RunEvent.Learned e when member.Stage == Stage.Learning:
                member.Applied = e.Applied;
                ChangeIfDrained();
                break;
            case RunEvent.LearningFailed e when member.Stage == Stage.Learning:
                _effects.Add(new RunEffect.Announce("learning-failed", $"{member.Name} could not copy the state: {e.Reason}. It tries again."));
                member.Stage = Stage.Arrived;
                PrepareArrived();
                ChangeIfDrained();
                break;
            case RunEvent.Linked e when e.Generation == Generation && member.Stage == Stage.Training:
                (member.IsLinked, member.Applied, member.Held) = (true, e.Applied, e.Held);
                ResumeIfLinked();
                break;
            case RunEvent.LinkBroke e when e.Generation == Generation && member.Stage == Stage.Training && e.Peer >= 0 && e.Peer < _ranks.Count:
                TakeBrokenLink(member, _workers[_ranks[e.Peer]], e.Reason);
                break;
            case RunEvent.Reported e:
                TakeReport(member, e.Report);
                break;
            case RunEvent.Gone e:
                Lose(member, e.Reason, e.MayReturn);
                break;
            case RunEvent.Faulted e when _workers.Count == 1:
                // Whoever comes next would meet the same.
                Finish(new RunOutcome(false, $"{member.Name} cannot go on: {e.Sentence}"));
                break;
            case RunEvent.Faulted e:
                Lose(member, $"it cannot go on: {e.Sentence.TrimEnd('.')}");
                break;
            case RunEvent.LeaveAsked e:
                Leave(member, e.Sentence);
                break;
        }
    }

    private void Arrive(int worker, WorkerHello hello)
    {
        if (AdmissionRules.Refuse(hello, _version, _fingerprint) is var (reason, sentence))
        {
            _effects.Add(new RunEffect.Refuse(worker, reason, sentence));
            _effects.Add(new RunEffect.Announce("refused", $"{Member.NameOf(worker, hello)} was refused. {sentence}"));
            return;
        }

        var member = new Member(worker, hello) { LastHeard = _now };
        _workers.Add(worker, member);
        _effects.Add(new RunEffect.Welcome(worker));
        _effects.Add(new RunEffect.Announce("join", $"{member.Name} joined from {hello.Host}, {hello.Address}."));
        PrepareArrived();
    }

    /// <summary>
    /// Whoever waits for a state gets one: from a member where there are any, else the newest checkpoint. Of a run without one, the first worker
    /// builds it.
    /// </summary>
    private void PrepareArrived()
    {
        foreach (var member in _workers.Values.Where(m => m.Stage == Stage.Arrived))
        {
            if (_ranks.Count > 0)
            {
                // The last ranks: rank 0 writes checkpoints.
                var source = Trainers.Where(m => !m.IsLeaving).Reverse().MinBy(m => _workers.Values.Count(l => l.Stage == Stage.Learning && l.Source == m.Id));
                if (source is not null)
                {
                    (member.Stage, member.Source, member.IsProved, member.Applied) = (Stage.Learning, source.Id, false, 0);
                    _effects.Add(new RunEffect.Learn(member.Id, source.Id));
                }
            }
            else if (_publishedStep >= 0 && (_reference is not null || _builder < 0))
            {
                (member.Stage, member.Applied) = (Stage.Preparing, _positions[_publishedStep].NextOperation - 1);
                _effects.Add(new RunEffect.Prepare(member.Id, Build: false, _publishedStep, member.Applied));
            }
            else if (_publishedStep < 0 && _builder < 0)
            {
                (_builder, member.Stage, member.Applied) = (member.Id, Stage.Preparing, 0);
                _effects.Add(new RunEffect.Prepare(member.Id, Build: true, Checkpoint: 0, Applied: 0));
            }
        }
    }

    private void TakePreparation(Member member, WorkerPreparation preparation)
    {
        if (member.Stage is not (Stage.Preparing or Stage.Learning) || _publishedStep < 0)
        {
            Lose(member, "it said that it is prepared before it can be");
            return;
        }

        if (preparation.TrainingSamples < 1 || preparation.ValidationSamples < 0)
        {
            Lose(member, $"its data hold {preparation.TrainingSamples} + {preparation.ValidationSamples} samples");
            return;
        }

        var reference = _reference ?? preparation;
        var arithmetic = AdmissionRules.ArithmeticProblem(preparation, reference);
        var refusal = AdmissionRules.Refuse(preparation, reference, StateHash(member, preparation))
            ?? (arithmetic is null || _options.AllowMixedHosts
                ? null
                : (RefusalReason.Arithmetic, $"{arithmetic}: use hosts of one kind, or give up equal bits by --allow-mixed-hosts."));
        if (refusal is var (reason, sentence))
        {
            Turn(member, reason, sentence);
            return;
        }

        if (arithmetic is not null)
        {
            PromisesSameBits = false;
            _effects.Add(new RunEffect.Announce("mixed-hosts", $"{member.Name}: {arithmetic}. It was let in all the same: this run promises no equal bits."));
        }

        if (_reference is null)
        {
            TakeReference(preparation);
        }

        member.IsProved = true;
        _hashes.TryAdd(member.Stage == Stage.Learning ? preparation.Applied : member.Applied, preparation.WeightsHash);
        if (member.Stage == Stage.Learning)
        {
            member.Applied = preparation.Applied;
            ChangeIfDrained();
        }
        else if (_ranks.Count > 0 || member.Applied != _positions[_publishedStep].NextOperation - 1)
        {
            // The run has gone on without it, so its state is old.
            member.Stage = Stage.Arrived;
            PrepareArrived();
        }
        else
        {
            member.Stage = Stage.Ready;
            _gatheredSince ??= _now;
            PrepareArrived();
            BeginIfGathered();
        }
    }

    /// <summary>What the first worker proved is what all others are held against.</summary>
    private void TakeReference(WorkerPreparation preparation)
    {
        _reference = preparation;
        _course = new RunCourse(_options, preparation.TrainingSamples, preparation.ValidationSamples);
        if (_options.Batch.Global > preparation.TrainingSamples)
        {
            _effects.Add(new RunEffect.Announce("warning",
                $"batch.global is {_options.Batch.Global}, the data hold {preparation.TrainingSamples} samples: every epoch is one step of all of them."));
        }

        _effects.AddRange(preparation.Remarks.Select(remark => new RunEffect.Announce("warning", remark)));
    }

    /// <summary>The hash that a prepared worker's state must have; null where it is not known any more.</summary>
    private string? StateHash(Member member, WorkerPreparation preparation) =>
        _hashes.GetValueOrDefault(member.Stage == Stage.Learning ? preparation.Applied : member.Applied);

    /// <summary>Sends a worker away after it has prepared.</summary>
    private void Turn(Member member, RefusalReason reason, string sentence)
    {
        Remove(member);
        _effects.Add(new RunEffect.Refuse(member.Id, reason, sentence));
        _effects.Add(new RunEffect.Announce("refused", $"{member.Name} was refused. {sentence}"));
        if (_reference is null)
        {
            Finish(new RunOutcome(false, $"{member.Name}, which built the model, was refused. {sentence}"));
            return;
        }

        PrepareArrived();
        ChangeIfDrained();
    }

    /// <summary>
    /// A run waits for as many workers as it was told. One that has lost all its members begins again with whoever has come back in the time in which
    /// a loss is noticed.
    /// </summary>
    private void BeginIfGathered()
    {
        var ready = _workers.Values.Where(m => m.Stage == Stage.Ready).ToList();
        if (_ranks.Count > 0 || ready.Count == 0 || _gatheredSince is not { } since)
        {
            return;
        }

        var isReturn = Generation > 0 && _now - since >= _options.FailureDetection && _workers.Values.All(m => m.Stage == Stage.Ready);
        if (ready.Count >= _options.Workers || isReturn)
        {
            _gatheredSince = null;
            Form([.. ready.OrderBy(m => m.Hello.Number < 0).ThenBy(m => m.Hello.Number).ThenBy(m => m.Id).Select(m => m.Id)]);
        }
    }

    private void Finish(RunOutcome outcome)
    {
        HasEnded = true;
        _effects.Add(new RunEffect.Finish(outcome));
    }
}
