using System.Runtime.CompilerServices;
using DistTrain.Core.Membership;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>A rule of the design does not hold.</summary>
internal sealed class InvariantBrokenException(string invariant, string what) : Exception($"{invariant}: {what}")
{
    public string Invariant => invariant;
}

/// <summary>The rules of DESIGN.md, numerics 7 and 9 and Reconfiguration, each a method that is named like it and asked wherever it could be broken.</summary>
internal sealed partial class Invariants(SimulatedRun run)
{
    private readonly Dictionary<ulong, GenerationView> _views = [];

    // Workers that were cut off when an operation they have applied was cut up anew: nobody may go on from their states.
    private readonly HashSet<SimulatedWorker> _orphans = [];
    private (ulong Operation, ulong Generation) _cutUpAnew = (ulong.MaxValue, 0);
    private ulong _nextRecord;

    // The size of micro-batches that the workers found, and which coordinator took it from them.
    private int _found;
    private SimulatedCoordinator? _foundBy;

    /// <summary>The machine decides about everything that can happen.</summary>
    public IReadOnlyList<RunEffect> Decide(RunMachine machine, RunEvent happened, TimeSpan now)
    {
        try
        {
            return machine.Handle(happened, now);
        }
        catch (Exception e)
        {
            throw Broken($"{happened} ended in {e}");
        }
    }

    /// <summary>3.7: state(k) is a pure function, so at any moment a worker's weights are those of the operation it says it has applied.</summary>
    public void WeightsAreThoseOfTheirOperation()
    {
        foreach (var worker in run.Workers)
        {
            if (worker.Executor.Weights != 0 && !_orphans.Contains(worker) && worker.Executor.Weights != run.Canonical.Weights(worker.Executor.Applied))
            {
                throw Broken($"worker {worker.Number} says that it has applied operation {worker.Executor.Applied}, and has other weights");
            }
        }
    }

    /// <summary>3.8: a change of geometry takes effect at an operation that no member has applied, and that has no line.</summary>
    public void NothingAppliedIsCutUpAnew(ulong first)
    {
        var view = _views[run.Disk.Generation];
        _cutUpAnew = (Math.Min(first, _cutUpAnew.Operation), view.Number);
        foreach (var worker in run.Workers)
        {
            if (worker.Executor.Applied < first)
            {
                continue;
            }

            if (!view.Members.Contains(worker))
            {
                _orphans.Add(worker);
            }
            else if (worker.IsAlive)
            {
                throw Broken($"operation {first} is cut up anew, and worker {worker.Number} has applied {worker.Executor.Applied}");
            }
        }

        if (run.Disk.Recorded >= first)
        {
            throw Broken($"operation {first} is cut up anew, and {run.Disk.Recorded} is written down");
        }

        // What members hold of it is none of it any more.
        if (view.Highest + 1 >= first)
        {
            view.Held = 0;
        }
    }

    /// <summary>3.8: what is decided is what the undisturbed run decides, and it is in the journal before anyone has done what it changes.</summary>
    public void DecisionsAreThoseOfTheRunAndNobodyIsPastThem(RunDecision made)
    {
        if (!run.Canonical.Decisions.Contains(made))
        {
            throw Broken($"{made} is decided, and the run decides {string.Join(", ", run.Canonical.Decisions)}");
        }

        foreach (var worker in run.Workers)
        {
            if (worker.IsAlive && worker.Executor.Applied is > 0 and var applied && !_orphans.Contains(worker)
                && run.Canonical.Operation(Math.Min(applied, run.Canonical.Count)) is { Kind: OperationKind.Train } operation && operation.Step >= made.From)
            {
                throw Broken($"{made} is decided, and worker {worker.Number} has applied step {operation.Step}");
            }
        }
    }

    /// <summary>Geometry is part of the run's identity: what workers find is found once, and nothing was computed before.</summary>
    public void TheSizeIsFoundOnce(int size)
    {
        if (!run.Case.IsAuto || _found > 0 || run.Disk.Generation > 0)
        {
            throw Broken($"micro-batches of {size} are found in generation {run.Disk.Generation}, after micro-batches of {_found}");
        }

        (_found, _foundBy) = (size, run.Coordinator);
    }

    /// <summary>The same: the first generation takes the smallest that one of its members proposes, and a member of a later one has memory for what is still to come.</summary>
    public void MembersHaveMemory(ulong generation, IReadOnlyList<SimulatedWorker> members)
    {
        var smallest = members.Min(m => m.Proposal);
        if (run.Case.IsAuto && generation == 1 && _foundBy == run.Coordinator && smallest != _found)
        {
            throw Broken($"a micro-batch holds {_found} samples, and the members of the first generation propose {string.Join(", ", members.Select(m => m.Proposal))}");
        }

        var last = run.Canonical.Operation(run.Canonical.Count).Geometry.Micro;
        var isOver = run.Disk.Recorded == run.Canonical.Count && run.Disk.Checkpoint(run.Canonical.Operation(run.Canonical.Count).Step) is not null;
        if (run.Case.IsAuto && !isOver && members.FirstOrDefault(m => m.Most < Math.Min(last, Math.Min(run.Case.Course().LargestBatch, run.Case.TrainingSamples))) is { } small)
        {
            throw Broken($"worker {small.Number} has memory for {small.Most} samples, and is a member of a run whose micro-batches hold {last}");
        }
    }

    /// <summary>Reconfiguration: stale generations are refused by name.</summary>
    public void StaleGenerationsAreRefused(PeerTag call, PeerTag own)
    {
        if (call != own)
        {
            throw Broken($"a call of {call} is served in {own}");
        }
    }

    /// <summary>Journal: what was said to an earlier coordinator is refused.</summary>
    public void StaleTermsAreRefused(ulong said, ulong own)
    {
        if (said != own)
        {
            throw Broken($"a message of term {said} is listened to in term {own}");
        }
    }

    /// <summary>A joiner applies what its source applies, all of it and in order.</summary>
    public void LearnersMissNothing(SimulatedWorker learner, ulong operation)
    {
        if (operation != learner.Executor.Applied + 1)
        {
            throw Broken($"learner {learner.Number} has applied {learner.Executor.Applied} and is sent {operation}");
        }
    }

    /// <summary>Checkpoint k holds state(k).</summary>
    public void CheckpointsHoldWhatTheySay(RunEffect.Prepare prepare, SimulatedCheckpoint checkpoint)
    {
        if (prepare.Applied > run.Canonical.Count || checkpoint.Weights != run.Canonical.Weights(prepare.Applied))
        {
            throw Broken($"checkpoint {prepare.Checkpoint} does not hold the weights of operation {prepare.Applied}, for which the machine takes it");
        }
    }

    /// <summary>Membership: there is one view of a generation, generations only increase, and each is in the journal before anyone is told.</summary>
    public void BeginGeneration(RunEffect.FormGeneration formed, IReadOnlyList<SimulatedWorker> members)
    {
        if (run.Disk.Generation != formed.Generation)
        {
            throw Broken($"generation {formed.Generation} is told, the journal knows {run.Disk.Generation}");
        }

        if (formed.Members.Count == 0 || formed.Members.Distinct().Count() < formed.Members.Count)
        {
            throw Broken($"generation {formed.Generation} has the members {string.Join(", ", formed.Members)}");
        }

        MembersHaveMemory(formed.Generation, members);
        foreach (var earlier in _views.Keys)
        {
            if (earlier >= formed.Generation)
            {
                throw Broken($"generation {formed.Generation} comes after {earlier}");
            }
        }

        _views.Add(formed.Generation, new GenerationView(formed.Generation, members));
    }

    /// <summary>Membership: whoever is told a change of it comes to the list that all others have.</summary>
    public void AllMembersKnowTheSame(SimulatedWorker worker, MembershipChange change, IReadOnlyList<SimulatedWorker>? members)
    {
        if (members is null || !members.SequenceEqual(_views[change.Generation].Members))
        {
            throw Broken($"worker {worker.Number} comes to the members {string.Join(", ", members?.Select(m => m.Number) ?? [])} of generation {change.Generation} from those of {change.From}");
        }
    }

    /// <summary>A joiner enters only when it has a whole copy of the state.</summary>
    public void WhoTakesPartHasAWholeState(SimulatedWorker worker)
    {
        if (worker.Executor.Weights == 0)
        {
            throw Broken($"worker {worker.Number} becomes a member, and its state is not whole");
        }
    }

    /// <summary>Plan: an operation goes by a plan that its members were told before.</summary>
    public void PlansAreSentBeforeTheyAreNamed(RunEffect.Issue issue, ICollection<ulong> sent)
    {
        if (!sent.Contains(issue.Plan))
        {
            throw Broken($"operation {issue.Operation.Number} names plan {issue.Plan}, which is not among {string.Join(", ", sent)}");
        }
    }

    /// <summary>Notes that a worker's state is another one, from outside.</summary>
    public void Replace(SimulatedWorker worker) => _orphans.Remove(worker);

    /// <summary>Notes that a learner has what was on its way from a worker. What that one had applied may have been cut up anew meanwhile.</summary>
    public void Copy(SimulatedWorker learner, SimulatedWorker source)
    {
        if (_orphans.Contains(source) && learner.Executor.Applied >= _cutUpAnew.Operation)
        {
            _orphans.Add(learner);
        }
    }

    /// <summary>Notes what a member says it holds.</summary>
    public void Link(SimulatedWorker worker, ulong generation)
    {
        _orphans.Remove(worker);
        WhoTakesPartHasAWholeState(worker);
        var (view, applied) = (_views[generation], worker.Executor.Applied);
        if (applied > view.Highest)
        {
            (view.Highest, view.Held) = (applied, 0);
        }

        if (applied == view.Highest && applied < run.Canonical.Count && worker.Executor.HeldMicro == run.Canonical.Operation(applied + 1).Geometry.Micro)
        {
            foreach (var node in worker.Executor.Held)
            {
                view.Held |= Blocks(run.Canonical.Tree(applied + 1), node);
            }
        }
    }

    /// <summary>Journal: the operations that are written down are the course, each in its place and with its weights; after a restart or a return some come again.</summary>
    public void Record(RunEffect.Record record)
    {
        var number = record.Operation.Number;
        if (_nextRecord == 0 ? number > run.Disk.Recorded + 1 : number != _nextRecord)
        {
            throw Broken($"operation {number} is written down after {run.Disk.Recorded}, {_nextRecord} was due");
        }

        // Of the last step before an early end nobody may have known that it is.
        var expected = run.Canonical.Operation(number);
        var isEnd = run.Canonical.Decisions.Any(d => d.EndsRun && d.From == expected.Step + 1) && expected.Kind == OperationKind.Train;
        var operation = isEnd ? record.Operation with { WritesCheckpoint = expected.WritesCheckpoint, IsLast = expected.IsLast } : record.Operation;
        if (operation != expected)
        {
            throw Broken($"operation {number} is {record.Operation}, not {run.Canonical.Operation(number)}");
        }

        foreach (var report in record.Reports)
        {
            if (report.Operation != number || report.WeightsHash != run.Canonical.NameOf(run.Canonical.Weights(number)))
            {
                throw Broken($"operation {number} is written down with {report}");
            }
        }

        _nextRecord = number + 1;
    }

    /// <summary>Operations may be written down again from here on.</summary>
    public void BeginLineage() => _nextRecord = 0;

    /// <summary>P3: nobody is told to get a checkpoint who brings along a newer state.</summary>
    public void NoStateIsGivenUp(RunEffect.Prepare prepare, Session session)
    {
        var worker = session.Worker;
        if (worker is { IsAlive: true, HoldsState: true } && worker.Session == session && worker.Executor.Applied > prepare.Applied && !_orphans.Contains(worker))
        {
            throw Broken($"worker {worker.Number} holds operation {worker.Executor.Applied} and is told to go back to checkpoint {prepare.Checkpoint}");
        }
    }

    /// <summary>P3: while a worker can be had, the run goes on to its end, and every operation is written down.</summary>
    public void RunsComplete()
    {
        var last = run.Disk.Checkpoint(run.Canonical.Operation(run.Canonical.Count).Step);
        if (run.Outcome is { Status: not RunStatus.Completed } outcome)
        {
            throw Broken(outcome.Sentence);
        }

        if (run.Disk.Recorded != run.Canonical.Count || last is null || last.Weights != run.Canonical.Weights(run.Canonical.Count))
        {
            throw Broken($"the run ended with {run.Disk.Recorded} of {run.Canonical.Count} operations written down, and {last}");
        }
    }

    /// <summary>P3: nothing keeps a run from going on for ever when the faults are over.</summary>
    public void RunsGoOn(string what) => throw Broken(what);

    private InvariantBrokenException Broken(string what, [CallerMemberName] string invariant = "") =>
        new(invariant, $"at {run.Scheduler.Now:c}, event {run.Scheduler.Events}, {what}.");

    /// <summary>A generation as those see it who know everything.</summary>
    private sealed class GenerationView(ulong number, IReadOnlyList<SimulatedWorker> members)
    {
        private readonly Dictionary<ulong, Contribution> _contributions = [];

        public ulong Number => number;

        public IReadOnlyList<SimulatedWorker> Members => members;

        /// <summary>The last operation that a member had applied when it was linked.</summary>
        public ulong Highest { get; set; }

        /// <summary>The blocks of the next one that members held then.</summary>
        public ulong Held { get; set; }

        public Contribution ContributionTo(ulong operation)
        {
            if (!_contributions.TryGetValue(operation, out var contribution))
            {
                _contributions.Add(operation, contribution = new Contribution());
            }

            return contribution;
        }
    }

    /// <summary>What members have contributed to one operation.</summary>
    private sealed class Contribution
    {
        public ulong Blocks { get; set; }

        public int Members { get; set; }
    }
}
