using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <summary>
/// Every decision of the coordinator: whom to admit, when to begin, what comes next, when it is over. Events go in with the time, effects come
/// out; there is no clock, no socket and no file in here, so that whole runs can be simulated.
/// </summary>
/// <remarks>
/// A run passes through three phases. <i>Gathering</i>: workers arrive; the first builds the model and puts checkpoint 0, the others get it; each
/// proves that it holds the same data, model and arithmetic. <i>Running</i>: a generation is formed and linked, then operation k + 2 is issued when the
/// first report of k is in, so that no worker waits for the coordinator. <i>Ended</i>: the last operation is reported by all and the last
/// checkpoint is published, or a worker was lost.
/// </remarks>
public sealed class RunMachine
{
    /// <summary>The version of the messages; raised when an old peer could misread a new one.</summary>
    public const int Protocol = 1;

    /// <summary>A run whose gradients are not finite this many times in a row has diverged.</summary>
    public const int MaxSkippedSteps = 20;

    /// <summary>
    /// How many times longer a silence is allowed before the first operation: many processes that load torch at once on few cores get no time to
    /// speak.
    /// </summary>
    public const int StartUpPatience = 10;

    private const int OperationsAhead = 2;

    private readonly RunOptions _options;
    private readonly string _version;
    private readonly string _fingerprint;
    private readonly SortedDictionary<int, Member> _workers = [];
    private readonly List<Open> _open = [];
    private readonly List<RunEffect> _effects = [];

    private int _builder = -1;
    private WorkerPreparation? _reference;
    private RunCourse? _course;
    private CoursePosition _position = CoursePosition.Start;
    private List<int> _ranks = [];
    private BlockPlanTable? _plan;
    private long _publishedStep = -1;
    private bool _allIssued;
    private int _skipped;

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

    /// <summary>Whether the run has ended.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>The course of the run, once the sizes of the data are known.</summary>
    public RunCourse? Course => _course;

    /// <summary>Names of the evaluation's sums, once known.</summary>
    public IReadOnlyList<string> Metrics => _reference?.Metrics ?? [];

    /// <summary>Takes one event.</summary>
    /// <param name="happened">What happened.</param>
    /// <param name="now">When, on a clock that never goes back.</param>
    /// <returns>What has to be done, in order.</returns>
    public IReadOnlyList<RunEffect> Handle(RunEvent happened, TimeSpan now)
    {
        _effects.Clear();
        if (HasEnded)
        {
            return [];
        }

        switch (happened)
        {
            case RunEvent.Arrived e:
                Arrive(e.Worker, e.Hello, now);
                break;
            case RunEvent.CheckpointPublished e:
                _publishedStep = Math.Max(_publishedStep, e.Step);
                PrepareWaiting();
                FinishIfDone();
                break;
            case RunEvent.Stopped e:
                Finish(new RunOutcome(false, e.Reason));
                break;
            case RunEvent.TimePassed:
                LoseTheSilent(now);
                break;
            default:
                HandleMember(happened, now);
                break;
        }

        return [.. _effects];
    }

    private void HandleMember(RunEvent happened, TimeSpan now)
    {
        var id = happened switch
        {
            RunEvent.Prepared e => e.Worker,
            RunEvent.Linked e => e.Worker,
            RunEvent.Heard e => e.Worker,
            RunEvent.Reported e => e.Worker,
            RunEvent.Gone e => e.Worker,
            RunEvent.Faulted e => e.Worker,
            _ => throw new ArgumentException($"Unknown event {happened.GetType().Name}.", nameof(happened)),
        };
        if (!_workers.TryGetValue(id, out var member))
        {
            return;
        }

        member.LastHeard = now;
        switch (happened)
        {
            case RunEvent.Prepared e:
                TakePreparation(member, e.Preparation);
                break;
            case RunEvent.Linked e when e.Generation == Generation && _ranks.Contains(member.Id):
                member.Stage = Stage.Linked;
                IssueAhead();
                break;
            case RunEvent.Reported e:
                TakeReport(member, e.Report);
                break;
            case RunEvent.Gone e:
                Lose(member, e.Reason);
                break;
            case RunEvent.Faulted e:
                _workers.Remove(id);
                Finish(new RunOutcome(false, $"{member.Name} cannot go on: {e.Sentence}"));
                break;
        }
    }

    private void Arrive(int worker, WorkerHello hello, TimeSpan now)
    {
        if (AdmissionRules.Refuse(hello, _version, _fingerprint, _workers.Count, _options.Workers) is var (reason, sentence))
        {
            _effects.Add(new RunEffect.Refuse(worker, reason, sentence));
            _effects.Add(new RunEffect.Announce("refused", $"{Name(worker, hello)} was refused. {sentence}"));
            return;
        }

        _workers.Add(worker, new Member(worker, hello) { LastHeard = now });
        _effects.Add(new RunEffect.Welcome(worker));
        _effects.Add(new RunEffect.Announce("join", $"{Name(worker, hello)} joined from {hello.Host}, {hello.Address}."));
        PrepareWaiting();
    }

    /// <summary>One worker builds checkpoint 0; when it is published, every other one that waits gets it.</summary>
    private void PrepareWaiting()
    {
        foreach (var member in _workers.Values.Where(m => m.Stage == Stage.Arrived))
        {
            if (_builder < 0)
            {
                _builder = member.Id;
                member.Stage = Stage.Preparing;
                _effects.Add(new RunEffect.Prepare(member.Id, Build: true, Checkpoint: 0));
            }
            else if (_publishedStep >= 0 && _reference is not null)
            {
                member.Stage = Stage.Preparing;
                _effects.Add(new RunEffect.Prepare(member.Id, Build: false, Checkpoint: _publishedStep));
            }
        }
    }

    private void TakePreparation(Member member, WorkerPreparation preparation)
    {
        if (member.Stage != Stage.Preparing || (member.Id == _builder && _publishedStep < 0))
        {
            Lose(member, "it said that it is prepared before it can be");
            return;
        }

        if (preparation.TrainingSamples < 1 || preparation.ValidationSamples < 0)
        {
            Lose(member, $"its data hold {preparation.TrainingSamples} + {preparation.ValidationSamples} samples");
            return;
        }

        var reference = member.Id == _builder ? preparation : _reference!;
        var arithmetic = AdmissionRules.ArithmeticProblem(preparation, reference);
        var refusal = AdmissionRules.Refuse(preparation, reference)
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

        if (member.Id == _builder)
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

        member.Stage = Stage.Prepared;
        PrepareWaiting();
        if (Generation == 0 && _workers.Values.Count(m => m.Stage == Stage.Prepared) == _options.Workers)
        {
            Begin();
        }
    }

    /// <summary>Sends a worker away after it has prepared. The state is the first one's: without it there is nothing to train.</summary>
    private void Turn(Member member, RefusalReason reason, string sentence)
    {
        _workers.Remove(member.Id);
        _effects.Add(new RunEffect.Refuse(member.Id, reason, sentence));
        _effects.Add(new RunEffect.Announce("refused", $"{member.Name} was refused. {sentence}"));
        if (member.Id == _builder)
        {
            Finish(new RunOutcome(false, $"{member.Name}, which built the model, was refused. {sentence}"));
        }
    }

    private void Begin()
    {
        Generation = 1;
        _ranks = [.. _workers.Values.OrderBy(m => m.Hello.Number < 0).ThenBy(m => m.Hello.Number).ThenBy(m => m.Id).Select(m => m.Id)];
        var speeds = _ranks.Select(_ => new WorkerSpeed(1)).ToList();
        _plan = BlockPlanTable.Create(1, _course!.BlockCounts, speeds, secondsPerCoverNode: 0.01);
        _effects.Add(new RunEffect.FormGeneration(Generation, [.. _ranks]));
        _effects.Add(new RunEffect.SendPlan(_plan));
        _effects.Add(new RunEffect.Announce("generation", $"Generation {Generation}: {_ranks.Count} workers."));
    }

    private void IssueAhead()
    {
        if (_workers.Values.Any(m => m.Stage != Stage.Linked))
        {
            return;
        }

        // An operation counts as ahead until its first report is in.
        while (!_allIssued && _open.Count(o => o.Reports.All(r => r is null)) < OperationsAhead)
        {
            if (_course!.Next(_position) is not var (operation, next))
            {
                _allIssued = true;
                break;
            }

            _position = next;
            _allIssued = operation.IsLast;
            _open.Add(new Open(operation, new OperationReport?[_ranks.Count]));
            _effects.Add(new RunEffect.Issue(operation, _plan!.Number, operation.WritesCheckpoint ? 0 : -1));
        }
    }

    private void TakeReport(Member member, OperationReport report)
    {
        var rank = _ranks.IndexOf(member.Id);
        var open = rank < 0 ? null : _open.FirstOrDefault(o => o.Reports[rank] is null);
        if (open is null || report.Generation != Generation || report.Operation != open.Operation.Number)
        {
            Finish(new RunOutcome(false, $"{member.Name} reported operation {report.Operation} of generation {report.Generation}, which it was not given."));
            return;
        }

        open.Reports[rank] = report;
        var first = open.Reports.First(r => r is not null)!;
        if (first.WeightsHash != report.WeightsHash)
        {
            Finish(new RunOutcome(false,
                $"After step {open.Operation.Step} {member.Name} holds weights {AdmissionRules.Short(report.WeightsHash)}, others hold {AdmissionRules.Short(first.WeightsHash)}: "
                + "a processor or memory on one of the hosts computes wrongly."));
            return;
        }

        while (_open.Count > 0 && _open[0].Reports.All(r => r is not null))
        {
            Complete(_open[0]);
            _open.RemoveAt(0);
        }

        if (!HasEnded)
        {
            IssueAhead();
            FinishIfDone();
        }
    }

    private void Complete(Open open)
    {
        _effects.Add(new RunEffect.Record(open.Operation, Generation, [.. open.Reports.Select(r => r!)]));
        if (open.Operation.Kind != OperationKind.Train)
        {
            return;
        }

        _skipped = open.Reports[0]!.Skipped ? _skipped + 1 : 0;
        if (_skipped >= MaxSkippedSteps)
        {
            Finish(new RunOutcome(false,
                $"The gradients of {_skipped} steps in a row were not finite, the last at step {open.Operation.Step}: lower optimizer.learningRate or set clip.globalNorm."));
        }
    }

    private void FinishIfDone()
    {
        if (!HasEnded && _allIssued && _open.Count == 0 && _publishedStep >= _course!.TotalSteps)
        {
            Finish(new RunOutcome(true, $"Completed {_position.Steps} steps."));
        }
    }

    private void LoseTheSilent(TimeSpan now)
    {
        var allowed = _open.Count == 0 && !_allIssued ? StartUpPatience * _options.FailureDetection : _options.FailureDetection;
        if (_workers.Values.FirstOrDefault(m => now - m.LastHeard > allowed) is { } silent)
        {
            Lose(silent, $"it was silent for {Duration.Format(allowed)}");
        }
    }

    private void Lose(Member member, string reason)
    {
        _workers.Remove(member.Id);
        _effects.Add(new RunEffect.Announce("lost", $"{member.Name} was lost: {reason}."));
        Finish(new RunOutcome(false, $"{member.Name} on {member.Hello.Host} (process {member.Hello.Process}) was lost: {reason}."));
    }

    private void Finish(RunOutcome outcome)
    {
        HasEnded = true;
        _effects.Add(new RunEffect.Finish(outcome));
    }

    private static string Name(int worker, WorkerHello hello) => $"Worker {(hello.Number >= 0 ? hello.Number : worker)}";

    private enum Stage
    {
        Arrived,
        Preparing,
        Prepared,
        Linked,
    }

    private sealed class Member(int id, WorkerHello hello)
    {
        public int Id => id;

        public WorkerHello Hello => hello;

        public string Name => RunMachine.Name(id, hello);

        public Stage Stage { get; set; }

        public TimeSpan LastHeard { get; set; }
    }

    private sealed record Open(Operation Operation, OperationReport?[] Reports);
}
