using DistTrain.Core.Journals;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <content>From the door to a generation: who is let in, how everyone comes to a state, when the run begins or goes on.</content>
public sealed partial class RunMachine
{
    private void Arrive(int worker, WorkerHello hello)
    {
        if (AdmissionRules.Refuse(hello, _version, _fingerprint) is var (reason, sentence))
        {
            _effects.Add(new RunEffect.Refuse(worker, reason, sentence));
            _effects.Add(new RunEffect.Announce("refused", $"{Member.NameOf(worker, hello)} was refused. {sentence}"));
            return;
        }

        if (_workers.Values.FirstOrDefault(m => m.Hello.Address == hello.Address && m.Hello.Host != hello.Host) is { } other)
        {
            // Peers would reach the other one in its place. An address that has changed hands is free as soon as the loss of its last owner is noticed.
            var claim = $"it says that peers reach it at {hello.Address}, which is the address of {other.Name} on {other.Hello.Host}: give each worker an --advertise of its own";
            _effects.Add(new RunEffect.Dismiss(worker, false, true, $"It was not let in: {claim}."));
            _effects.Add(new RunEffect.Announce("refused", $"{Member.NameOf(worker, hello)} on {hello.Host} was refused: {claim}."));
            return;
        }

        var member = new Member(worker, hello) { LastHeard = Listened, Offer = hello.Offer };
        _workers.Add(member);
        _effects.Add(new RunEffect.Welcome(worker));
        _effects.Add(new RunEffect.Announce("join", $"{member.Name} {(member.Offer is null ? "joined" : "came back")} from {hello.Host}, {hello.Address}."));
        if (hello.WasKilledForMemory)
        {
            TakeKill(member);
        }

        PrepareArrived();
    }

    /// <summary>
    /// Whoever waits for a state gets one: from a member where there are any, else the newest checkpoint, unless it brings a newer one itself. Of a run without
    /// a checkpoint, the first worker builds it.
    /// </summary>
    private void PrepareArrived()
    {
        foreach (var member in _workers.Outside.Where(m => m.Stage == Stage.Arrived))
        {
            if (_ranks.Count > 0)
            {
                if (FreestSource() is { } source)
                {
                    // A state that it has brought along may be needed yet: it has it until the copy comes.
                    (member.Stage, member.Source, member.IsProved, member.Applied) = (Stage.Learning, source.Id, false, 0);
                    Tell(member, new RunEffect.Learn(member.Id, source.Id) { Address = source.Hello.Address, Micro = MicroInForce(_position) });
                }
            }
            else if (_course is not null && member.Offer >= CheckpointOperation)
            {
                member.Stage = Stage.Preparing;
                Tell(member, new RunEffect.Keep(member.Id));
            }
            else if (_publishedStep >= 0 && (_reference is not null || _builder < 0))
            {
                (member.Stage, member.Applied, member.Offer) = (Stage.Preparing, CheckpointOperation, null);
                Tell(member, new RunEffect.Prepare(member.Id, Build: false, _publishedStep, member.Applied) { Micro = _course is null ? 0 : MicroInForce(_positions[_publishedStep]) });
            }
            else if (_publishedStep < 0 && _builder < 0)
            {
                (_builder, member.Stage, member.Applied, member.Offer) = (member.Id, Stage.Preparing, 0, null);
                Tell(member, new RunEffect.Prepare(member.Id, Build: true, Checkpoint: 0, Applied: 0));
            }
        }
    }

    /// <summary>The member that the fewest copy from; of several the last rank, as rank 0 writes checkpoints. Null where all members leave.</summary>
    private Member? FreestSource()
    {
        var load = _workers.Outside.Where(m => m.Stage == Stage.Learning).CountBy(m => m.Source).ToDictionary();
        return Trainers.Where(m => !m.IsLeaving).Reverse().MinBy(m => load.GetValueOrDefault(m.Id));
    }

    /// <summary>Tells a worker how to come to a state. Answers to what it was told before, which may be on their way, do not count any more.</summary>
    private void Tell(Member member, RunEffect how)
    {
        member.Told++;
        _effects.Add(how);
    }

    private void TakePreparation(Member member, WorkerPreparation preparation)
    {
        if (!(member.Stage == Stage.Learning || (member.Stage == Stage.Preparing && member.Offer is null)) || _publishedStep < 0)
        {
            Lose(member, "it said that it is prepared before it can be");
            return;
        }

        if (preparation.TrainingSamples < 1 || preparation.ValidationSamples < 0)
        {
            Lose(member, $"its data hold {preparation.TrainingSamples} + {preparation.ValidationSamples} samples");
            return;
        }

        if (!IsAdmitted(member, preparation, StateHash(member, preparation)))
        {
            return;
        }

        if (_reference is null)
        {
            TakeReference(preparation);
        }

        if (!HasMemory(member, preparation))
        {
            return;
        }

        (member.Proposal, member.Most) = (preparation.Proposal, preparation.Most);
        (member.IsProved, member.Offer) = (true, null);
        _hashes.TryAdd(member.Stage == Stage.Learning ? preparation.Applied : member.Applied, preparation.WeightsHash);
        if (member.Stage == Stage.Learning)
        {
            member.Applied = preparation.Applied;
            ChangeIfDrained();
        }
        else if (_ranks.Count > 0 || member.Applied != CheckpointOperation)
        {
            // The run has gone on without it, so its state is old.
            member.Stage = Stage.Arrived;
            PrepareArrived();
        }
        else
        {
            GetReady(member);
        }
    }

    /// <summary>A worker that lost the coordinator has kept its state, and says what it was not able to report.</summary>
    private void TakeKept(Member member, WorkerPreparation preparation, IReadOnlyList<OperationReport> reports, ulong generation)
    {
        if (member.Stage != Stage.Preparing || member.Offer is null || _reference is null)
        {
            Lose(member, "it kept a state that it was not asked for");
            return;
        }

        member.Offer = null;
        if (_ranks.Count > 0 || preparation.Applied < CheckpointOperation || IsCutUpAnew(preparation.Applied, generation))
        {
            member.Stage = Stage.Arrived;
            PrepareArrived();
        }
        else if (IsAdmitted(member, preparation, stateHash: null))
        {
            (member.IsProved, member.Applied, member.Kept) = (true, preparation.Applied, new KeptState(preparation.WeightsHash, reports));
            GetReady(member);
        }
    }

    private void GetReady(Member member)
    {
        member.Stage = Stage.Ready;
        _gatheredSince ??= _now;
        PrepareArrived();
        BeginIfGathered();
    }

    /// <summary>Holds a worker against the first one; one that may not take part is sent away.</summary>
    private bool IsAdmitted(Member member, WorkerPreparation preparation, string? stateHash)
    {
        var reference = _reference ?? preparation;
        var arithmetic = AdmissionRules.ArithmeticProblem(preparation, reference);
        var refusal = AdmissionRules.Refuse(preparation, reference, stateHash)
            ?? (arithmetic is null || _options.AllowMixedHosts
                ? null
                : (RefusalReason.Arithmetic, $"{arithmetic}: use hosts of one kind, {Common(preparation, reference)}or give up equal bits by --allow-mixed-hosts."));
        if (refusal is var (reason, sentence))
        {
            Turn(member, reason, sentence);
            return false;
        }

        if (arithmetic is not null)
        {
            if (PromisesSameBits)
            {
                PromisesSameBits = false;
                _effects.Add(new RunEffect.Write(new JournalEntry.MixedHosts()));
            }

            _effects.Add(new RunEffect.Announce("mixed-hosts", $"{member.Name}: {arithmetic}. It was let in all the same: this run promises no equal bits."));
        }

        return true;
    }

    /// <summary>What helps where processors differ in what they have, unless it is in force.</summary>
    private string Common(WorkerPreparation own, WorkerPreparation run) =>
        _options.Instructions == RunOptions.NativeInstructions && own.ProbeHash.Length > 0 && run.ProbeHash.Length > 0
            ? "begin a run with instructions=avx2 if only some have AVX-512, "
            : "";

    /// <summary>What the first worker proved is what all others are held against.</summary>
    private void TakeReference(WorkerPreparation preparation)
    {
        _effects.Add(new RunEffect.Write(new JournalEntry.Reference(preparation)));
        _reference = preparation;
        _course = new RunCourse(_options, preparation.TrainingSamples, preparation.ValidationSamples);
        _effects.AddRange(CourseRemarks.On(_options, _course).Concat(preparation.Remarks).Select(remark => new RunEffect.Announce("warning", remark)));
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
    /// A run waits for as many workers as it was told. One that is without members goes on from the newest state that a worker still holds, for which it waits a moment;
    /// where none comes, from its checkpoint, with whoever has come in the time in which a loss is noticed.
    /// </summary>
    private void BeginIfGathered()
    {
        var ready = _workers.Outside.Where(m => m.Stage == Stage.Ready).ToList();
        if (HasEnded || _ranks.Count > 0 || ready.Count == 0 || _gatheredSince is not { } since)
        {
            return;
        }

        if (_aloneSince is { } alone)
        {
            var isBringing = _workers.Outside.Any(m => m.Stage == Stage.Preparing && m.Offer is not null);
            var holders = ready.Where(m => m.Kept is not null).ToList();
            if (isBringing || (holders.Count < _holders && _now - alone < _timeouts.FormerWorkers))
            {
                return;
            }

            if (holders.Count > 0 && GoOnFrom(holders))
            {
                return;
            }

            ready = [.. _workers.Outside.Where(m => m.Stage == Stage.Ready)];
        }

        var isPatienceOver = Generation > 0 && _now - since >= _timeouts.Gathering && _workers.Values.All(m => m.Stage == Stage.Ready);
        if (ready.Count >= _options.Workers || (ready.Count > 0 && isPatienceOver))
        {
            if (_aloneSince is not null)
            {
                ReturnToCheckpoint();
            }

            Begin(ready);
        }
    }

    /// <summary>
    /// Goes on from the newest state that workers hold. Nobody is ahead of another by more than one operation; who is has its reports, so that each line is written.
    /// </summary>
    /// <returns>Whether there is such a state; else its holders begin anew.</returns>
    private bool GoOnFrom(IReadOnlyList<Member> holders)
    {
        var newest = holders.Max(m => m.Applied);
        var states = holders.Where(m => m.Applied == newest).GroupBy(m => m.Kept!.WeightsHash).OrderByDescending(g => g.Count()).ToList();
        var isAgreed = states.Count == 1 || states[0].Count() > states[1].Count();
        var first = Math.Min(_written, holders.Where(m => m.Applied + 1 >= newest).Min(m => m.Applied)) + 1;
        List<Member> members = isAgreed
            ? [.. holders.Where(m => (m.Applied == newest ? m.Kept!.WeightsHash == states[0].Key : m.Applied + 1 == newest) && m.HasReports(first))]
            : [];
        var isWhole = members.Any(m => m.Applied == newest);
        foreach (var other in isWhole ? _workers.Outside.Where(m => m.Stage == Stage.Ready).Except(members) : holders.Where(m => m.Applied == newest))
        {
            (other.Stage, other.Kept) = (Stage.Arrived, null);
        }

        if (!isWhole)
        {
            _effects.Add(new RunEffect.Announce("state-refused",
                "Workers that came back hold different states, or cannot tell how they came by them: the run does not go on from these."));
            var others = holders.Where(m => m.Applied != newest).ToList();
            if (others.Count > 0)
            {
                return GoOnFrom(others);
            }

            PrepareArrived();
            return false;
        }

        ForgetAfterCheckpoint();
        _position = _course!.Before(first);
        // Those before it have their lines, be it from before the run went back to a checkpoint.
        _recorded = Math.Max(_recorded, first - 1);
        while (_position.NextOperation <= newest)
        {
            var (operation, next) = _course.Next(_position)!.Value;
            Open(operation, next);
            foreach (var member in members.Where(m => m.Applied >= operation.Number))
            {
                _open.Take(member.Id, member.Kept!.Reports.First(r => r.Operation == operation.Number));
            }
        }

        _hashes[newest] = states[0].Key;
        _effects.Add(new RunEffect.Announce("resumed", $"The run goes on after step {_position.Steps}, whose state {Count(members.Count)} still held."));

        // Some may hold nodes of the operation after that: it is handed out around them.
        _allIssued = true;
        if (_course.Next(_position) is var (begun, then))
        {
            Open(begun, then);
            _allIssued = begun.IsLast;
        }

        Begin(members);
        return true;
    }

    private void Begin(IEnumerable<Member> members)
    {
        (_gatheredSince, _aloneSince) = (null, null);
        ChooseMicroBatch([.. members]);
        Form([.. members.OrderBy(m => m.Hello.Number < 0).ThenBy(m => m.Hello.Number).ThenBy(m => m.Id).Select(m => m.Id)]);
    }

    private static string Count(int workers) => $"{workers} worker{(workers == 1 ? "" : "s")}";
}
