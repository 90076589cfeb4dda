using DistTrain.Core.Journals;
using DistTrain.Core.Options;

namespace DistTrain.Core.Membership;

/// <content>What changes a generation: losses at once, joiners and leavers between two operations.</content>
public sealed partial class RunMachine
{
    /// <summary>Learners so near to the end of what was handed out that it is worth waiting for them.</summary>
    private IEnumerable<Member> Joiners =>
        _workers.Outside.Where(m => m.Stage == Stage.Learning && m.IsProved && m.Applied + OperationsAhead >= LastIssued);

    private void Lose(Member member, string reason, bool mayReturn = false)
    {
        var wasTraining = member.Stage == Stage.Training;
        Evict(member, reason, mayReturn);
        if (wasTraining)
        {
            _ranks.Remove(member.Id);
            FormOrWait();
        }
        else
        {
            PrepareArrived();
            BeginIfGathered();
            ChangeIfDrained();
        }
    }

    private void Evict(Member member, string reason, bool mayReturn, bool dropsState = false)
    {
        Remove(member);
        _effects.Add(new RunEffect.Dismiss(member.Id, false, mayReturn, $"It counts as lost: {reason}.", dropsState));
        _effects.Add(new RunEffect.Announce("lost", $"{member.Name} on {member.Hello.Host} (process {member.Hello.Process}) was lost: {reason}."));
    }

    /// <summary>
    /// Two members that live do not reach each other. They are asked once to link again; if that does not last until an operation is completed, the newer one
    /// has to go, and may come back.
    /// </summary>
    private void TakeBrokenLink(Member member, Member peer, string reason)
    {
        _effects.Add(new RunEffect.Announce("link-broke", $"{member.Name} does not reach {peer.Name}: {reason.TrimEnd('.')}."));
        if (_isRelinked)
        {
            var (newer, other) = member.Id > peer.Id ? (member, peer) : (peer, member);
            Lose(newer, $"the link between it and {other.Name} is broken", mayReturn: true);
        }
        else
        {
            _isRelinked = true;
            Form([.. _ranks]);
        }
    }

    /// <summary>Forgets a worker. Who copied from it has to copy from another.</summary>
    private void Remove(Member member)
    {
        _workers.Remove(member.Id);
        _leaving -= member.IsLeaving ? 1 : 0;
        _builder = _builder == member.Id ? -1 : _builder;
        _writer = _writer.Worker == member.Id ? default : _writer;
        foreach (var learner in _workers.Outside.Where(m => m.Stage == Stage.Learning && m.Source == member.Id))
        {
            learner.Stage = Stage.Arrived;
        }
    }

    private void FormOrWait()
    {
        if (_ranks.Count > 0)
        {
            Form([.. _ranks]);
        }
        else
        {
            WaitForWorkers();
        }
    }

    /// <summary>
    /// No member is left. What any of them reported is written down; who only lost its connection comes back with its state, and where nobody does, the run goes back to
    /// its newest checkpoint.
    /// </summary>
    private void WaitForWorkers()
    {
        foreach (var other in _workers.Outside.Where(m => m.Stage is Stage.Learning or Stage.Ready))
        {
            (other.Stage, other.Kept) = (Stage.Arrived, null);
        }

        foreach (var (operation, reports) in _open.TakeAll().Where(o => o.Reports.Count > 0))
        {
            Record(operation, reports);
        }

        if (_writtenStep > _publishedStep)
        {
            TakeCheckpoint(_writtenStep, _writtenHash);
        }

        (_aloneSince, _isChanging, _isRelinked) = (_now, false, false);
        if (HasEnded)
        {
            return;
        }

        if (_isStopping)
        {
            Finish(new RunOutcome(false, $"The last worker was lost before its state was written: the run can be resumed from checkpoint {_publishedStep}."));
            return;
        }

        if (++_fruitlessReturns >= MaxFruitlessReturns)
        {
            Finish(new RunOutcome(false, $"All workers were lost {_fruitlessReturns} times without a step in between: see the events before."));
            return;
        }

        _effects.Add(new RunEffect.Announce("waiting", "No worker is left. The run waits for workers."));
        PrepareArrived();
    }

    /// <summary>Nobody has the state any more: the run goes back to the newest checkpoint, and computes the same bits again.</summary>
    private void ReturnToCheckpoint()
    {
        ForgetAfterCheckpoint();
        (_position, _allIssued, _save) = (_positions[_publishedStep], false, default);
        if (Generation > 0)
        {
            var behind = Math.Max(0, _recordedStep - _publishedStep);
            _effects.Add(new RunEffect.Write(new JournalEntry.Rollback(_publishedStep)));
            _effects.Add(new RunEffect.Announce("rollback", behind == 0
                ? $"The run goes on from checkpoint {_publishedStep}."
                : $"Nobody holds a newer state. The run goes on from checkpoint {_publishedStep}, {behind} step{(behind == 1 ? "" : "s")} back."));
        }
    }

    /// <summary>What comes after the newest checkpoint is not known any more; where there is none, the run's start still is.</summary>
    private void ForgetAfterCheckpoint()
    {
        foreach (var undone in _positions.Keys.Where(s => s > Math.Max(0, _publishedStep)).ToList())
        {
            _positions.Remove(undone);
        }
    }

    private void Leave(Member member, string sentence)
    {
        _effects.Add(new RunEffect.Announce("leave", $"{member.Name} leaves: {sentence.TrimEnd('.')}."));
        _leaving += member.IsLeaving ? 0 : 1;
        member.IsLeaving = true;
        if (member.Stage != Stage.Training)
        {
            Remove(member);
            _effects.Add(new RunEffect.Dismiss(member.Id, true, false, "It left before it took part."));
            PrepareArrived();
            BeginIfGathered();
        }

        ChangeIfDrained();
    }

    /// <summary>
    /// Whoever joins or leaves does so between two operations: nothing more is handed out until all that was is completed, and learners contain it. The
    /// last member to leave writes its state first.
    /// </summary>
    private void ChangeIfDrained()
    {
        if (HasEnded || _ranks.Count == 0)
        {
            return;
        }

        var wasChanging = _isChanging;
        var joiners = Joiners.ToList();
        List<Member> leavers = _leaving == 0 ? [] : [.. Trainers.Where(m => m.IsLeaving)];
        _isChanging = !_allIssued && joiners.Count + leavers.Count > 0;
        if (!_isChanging)
        {
            if (wasChanging)
            {
                IssueAhead();
            }

            return;
        }

        if (!IsLinked || _open.Count > 0 || joiners.Any(m => m.Applied != LastIssued))
        {
            return;
        }

        var staying = _ranks.Except(leavers.Select(m => m.Id)).Concat(joiners.Select(m => m.Id)).ToList();
        if (staying.Count == 0 && _publishedStep < _position.Steps)
        {
            SaveAgain();
            return;
        }

        foreach (var leaver in leavers)
        {
            Remove(leaver);
            _effects.Add(new RunEffect.Dismiss(leaver.Id, true, false, "It left as it asked to."));
        }

        _holders = 0;
        _ranks = staying;
        FormOrWait();
    }

    private void LoseTheSilent()
    {
        foreach (var member in _workers.Values.ToList())
        {
            var starting = member.Stage != Stage.Training || !_hasBegun;
            var allowed = starting ? _timeouts.StartUpSilence : _timeouts.Silence;
            if (!HasEnded && _workers.Contains(member.Id) && Listened - member.LastHeard > allowed)
            {
                Lose(member, $"it was silent for {Duration.Format(allowed)}", mayReturn: true);
            }
        }

        LoseWhoMakesNoProgress();
    }
}
