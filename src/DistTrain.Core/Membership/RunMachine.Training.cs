using DistTrain.Core.Journals;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <content>Generations and the operations they carry out.</content>
public sealed partial class RunMachine
{
    /// <summary>Begins the next generation. Its members stop what they do, link, and say what they hold.</summary>
    private void Form(IReadOnlyList<int> members)
    {
        Generation++;
        _ranks = [.. members];
        (_isChanging, _isPlanned, _linked) = (false, false, 0);
        foreach (var member in Trainers)
        {
            (member.Stage, member.IsLinked, member.Kept) = (Stage.Training, false, null);
        }

        _effects.Add(new RunEffect.Write(new JournalEntry.Generation(Generation, _ranks.Count, LastIssued)));
        _progress.Restart();
        _effects.Add(new RunEffect.FormGeneration(new MemberList(Generation, [.. Trainers.Select(m => m.Listed)])));
        _effects.Add(new RunEffect.Announce("generation", $"Generation {Generation}: {Count(_ranks.Count)}."));
        PrepareArrived();
    }

    /// <summary>
    /// The first link of a generation shows that there is time to plan: the others are still linking. Of generations that follow each other sooner, as where many members are lost at
    /// once, only the last one is planned. It is sent with the operations, in one write.
    /// </summary>
    private void PlanGeneration()
    {
        if (!_isPlanned)
        {
            _isPlanned = true;
            PlannerOf(_open.All.FirstOrDefault() ?? _course!.Next(_position)?.Operation).Begin(Times);
        }
    }

    /// <summary>
    /// Hands out again what was under way. An operation that some members have applied is whole with them: the lowest of these ranks contributes its root to
    /// the others. Of the next one, nodes that members hold are used, and only blocks that nobody holds are computed again.
    /// </summary>
    private void ResumeIfLinked()
    {
        if (!IsLinked)
        {
            return;
        }

        var (lowest, highest) = (Trainers.Min(m => m.Applied), Trainers.Max(m => m.Applied));
        if (highest - lowest > 1)
        {
            // Nobody sends anything of an operation before it has applied the one before: such a worker's state is not what it says.
            Lose(Trainers.First(m => m.Applied == lowest), $"it has applied operation {lowest}, others {highest}");
            return;
        }

        AnnounceTransports();
        _holders = _ranks.Count;
        SendPlan(Planner.Plan, _open.All.FirstOrDefault()?.Number ?? _position.NextOperation);
        RecordCompleted();
        if (HasEnded || !IsLinked)
        {
            // They disagreed: there is another generation, or none.
            return;
        }

        NoteGiven();
        HalveBehind(highest);
        foreach (var operation in _open.All.Select(_course!.Current))
        {
            Issue(operation, SharesOf(operation, highest) ?? PlanFor(operation));
        }

        GoOn();
    }

    private void AnnounceTransports()
    {
        var used = Trainers.SelectMany(m => m.Transports).AggregateBy(t => t.Name, 0, (links, t) => links + t.Links)
            .OrderByDescending(t => t.Value).ThenBy(t => t.Key, StringComparer.Ordinal);
        var words = string.Join(", ", used.Select(t => $"{t.Key} ({t.Value} of {_ranks.Count * (_ranks.Count - 1)} links)"));
        if (words.Length > 0)
        {
            _effects.Add(new RunEffect.Announce("linked", $"Generation {Generation}: gradients travel by {words}."));
        }
    }

    private IReadOnlyList<WorkShare>? SharesOf(Operation operation, ulong highest)
    {
        if (operation.Number > highest + 1)
        {
            return null;
        }

        var tree = new ReductionTree(operation.Batches.Blocks);
        IReadOnlyList<IReadOnlyList<NodeId>> held = operation.Number == highest + 1
            ? [.. Trainers.Select(m => m.Applied == highest && m.HeldMicro == operation.Geometry.Micro ? m.Held : [])]
            : [.. Trainers.Select(m => m.Applied == highest ? new[] { tree.Root } : [])];
        return Planner.Recover(Salvage.Of(tree, held), Times);
    }

    private void IssueAhead()
    {
        while (!HasEnded && IsLinked && !_allIssued && !_isChanging && _open.Count < OperationsAhead)
        {
            if (_course!.Next(_position) is not var (operation, next))
            {
                _allIssued = true;
                break;
            }

            Open(operation, next);
            _allIssued = operation.IsLast;
            Issue(operation, PlanFor(operation));
        }
    }

    /// <summary>An operation is under way; the run stands behind it.</summary>
    private void Open(Operation operation, CoursePosition next)
    {
        _position = next;
        _open.Add(operation);
        if (operation.WritesCheckpoint && operation.Step > _publishedStep)
        {
            _positions[operation.Step] = next;
        }
    }

    private void Issue(Operation operation, IReadOnlyList<WorkShare>? shares)
    {
        // Who has applied it before has written it, or is writing it.
        var isWritten = operation.Step <= _publishedStep || (IsWriting(operation.Step) && _workers[_writer.Worker].Applied >= operation.Number);
        var rank = operation.WritesCheckpoint && !isWritten ? _ranks.FindIndex(id => _workers[id].Applied < operation.Number) : -1;
        _writer = rank < 0 ? _writer : (_ranks[rank], operation.Step);
        _effects.Add(new RunEffect.Issue(operation, Planner.Plan.Number, rank, shares));
        Watch(operation, shares);
    }

    /// <summary>Whether a member is to write the state after a step.</summary>
    private bool IsWriting(long step) =>
        _writer.Step == step && _workers.TryGet(_writer.Worker, out var writer) && writer.Stage == Stage.Training;

    private void TakeReport(Member member, OperationReport report)
    {
        if (member.Stage != Stage.Training || report.Generation > Generation || _open.Take(member.Id, report) is not { } first)
        {
            Lose(member, $"it reported operation {report.Operation} of generation {report.Generation}, which it was not given");
            return;
        }

        _hasBegun = true;
        member.Applied = report.Operation;
        _progress.Complete(member.Id, report.Operation, Listened);
        _hashes[report.Operation] = first.WeightsHash;
        _hashes.Remove(report.Operation - HashesRemembered);
        RecordCompleted();
        GoOn();
    }

    private void GoOn()
    {
        IssueAhead();
        ChangeIfDrained();
        FinishIfDone();
    }

    private void RecordCompleted()
    {
        while (!HasEnded && _ranks.Count > 0 && _open.TakeCompleted(_ranks) is var (operation, reports))
        {
            if (reports.Any(r => r.WeightsHash != reports[0].WeightsHash))
            {
                Settle(operation, reports);
                return;
            }

            (_fruitlessReturns, _repeatedShortages, _isRelinked) = (0, 0, false);
            Measure(operation, reports);
            Record(operation, reports);
        }

        if (_writtenStep > _publishedStep)
        {
            TakeCheckpoint(_writtenStep, _writtenHash);
        }
    }

    private void Record(Operation taken, IReadOnlyList<OperationReport> reports)
    {
        // One that a worker brought along was taken up before those before it had shown what its rate follows.
        var operation = _course!.Current(taken);
        Decide(operation, reports[0]);
        (_recorded, _recordedStep, _written) = (operation.Number, operation.Step, Math.Max(_written, operation.Number));
        _effects.Add(new RunEffect.Record(operation, Generation, reports));
        if (operation.Kind != OperationKind.Train)
        {
            return;
        }

        if (operation.WritesCheckpoint)
        {
            _checkpointHashes[operation.Step] = reports[0].WeightsHash;
        }

        _skipped = reports[0].Skipped ? _skipped + 1 : 0;
        if (_skipped == 1)
        {
            _effects.Add(new RunEffect.Announce("warning",
                $"Step {operation.Step} was skipped, as its gradient is not finite: the weights are as before. After {MaxSkippedSteps} in a row the run ends."));
        }

        if (_skipped >= MaxSkippedSteps)
        {
            Finish(new RunOutcome(false,
                $"The gradients of {_skipped} steps in a row were not finite, the last at step {operation.Step}: lower optimizer.learningRate or set clip.globalNorm."));
        }
    }

    /// <summary>
    /// A checkpoint counts when all members have reported its step, with the weights it holds: without that, a run that went back to it would lack the step's line, or
    /// hold weights that only its writer had.
    /// </summary>
    private void TakeCheckpoint(long step, string? weightsHash)
    {
        (_writtenStep, _writtenHash) = step >= _writtenStep ? (step, weightsHash) : (_writtenStep, _writtenHash);
        if (step > 0 && (!_positions.TryGetValue(step, out var after) || after.NextOperation > _recorded + 1))
        {
            return;
        }

        if (step > 0 && weightsHash is not null && _checkpointHashes.TryGetValue(step, out var agreed) && agreed != weightsHash)
        {
            _writtenStep = _publishedStep;
            _effects.Add(new RunEffect.Discard(step));
            LoseCheckpoint(_writer.Worker, step, $"it holds weights {AdmissionRules.Short(weightsHash)}, the run's are {AdmissionRules.Short(agreed)}");
            return;
        }

        _publishedStep = Math.Max(_publishedStep, step);
        _save = default;
        foreach (var old in _positions.Keys.Where(s => s < _publishedStep).ToList())
        {
            _positions.Remove(old);
        }

        foreach (var old in _checkpointHashes.Keys.Where(s => s <= _publishedStep).ToList())
        {
            _checkpointHashes.Remove(old);
        }

        foreach (var old in _workers.Outside.Where(m => m.Stage == Stage.Ready && m.Kept is null && m.Applied != CheckpointOperation))
        {
            old.Stage = Stage.Arrived;
        }

        PrepareArrived();
        ChangeIfDrained();
        FinishIfDone();
    }

    private void LoseCheckpoint(int worker, long step, string reason)
    {
        _effects.Add(new RunEffect.Announce("checkpoint-failed", $"The checkpoint of step {step} was not written: {reason.TrimEnd('.')}."));
        if (_writer == (worker, step))
        {
            _writer = default;
            _save.Failures += step == _save.Step ? 1 : 0;
        }

        ChangeIfDrained();
        FinishIfDone();
    }

    /// <summary>Has a member write its state where the attempt of the one that was to do it has failed. An attempt whose writer was lost is none.</summary>
    private void SaveAgain()
    {
        if (IsWriting(_position.Steps))
        {
            return;
        }

        _save = _save.Step == _position.Steps ? _save : (_position.Steps, 0);
        if (_save.Failures >= MaxSaves)
        {
            Finish(new RunOutcome(false, $"The state after step {_position.Steps} could not be written in {MaxSaves} attempts: see the events before."));
            return;
        }

        _writer = (_ranks[0], _position.Steps);
        _positions[_position.Steps] = _position;
        if (_hashes.TryGetValue(_recorded, out var hash))
        {
            _checkpointHashes[_position.Steps] = hash;
        }

        _effects.Add(new RunEffect.Save(_writer.Worker, _position.Steps));
    }

    private void FinishIfDone()
    {
        if (HasEnded || !_allIssued || _open.Count > 0 || !IsLinked)
        {
            return;
        }

        if (_publishedStep >= _position.Steps)
        {
            Finish(_course!.Next(_position) is null
                ? new RunOutcome(true, _course.EndsBy is { } early ? $"{Completed()}, and ended early: {early.Reason}." : $"{Completed()}.")
                : new RunOutcome(true, $"Stopped after step {_position.Steps}, as it was asked to: --resume goes on from there.") { Status = RunStatus.Stopped });
        }
        else
        {
            SaveAgain();
        }
    }

    private string Completed() => $"Completed {_position.Steps} step{(_position.Steps == 1 ? "" : "s")}";
}
