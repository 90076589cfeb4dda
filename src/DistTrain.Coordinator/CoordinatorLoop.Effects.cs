using DistTrain.Core;
using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;
using RunEvent = DistTrain.Core.Membership.RunEvent;

namespace DistTrain.Coordinator;

/// <content>What the machine has decided, carried out.</content>
internal sealed partial class CoordinatorLoop
{
    private void CarryOut(RunEffect effect, RunEvent cause)
    {
        switch (effect)
        {
            case RunEffect.Welcome e:
                _ledger.NoteHost(((RunEvent.Arrived)cause).Hello.Host);
                Welcome(e.Worker);
                break;
            case RunEffect.Refuse e:
                Workers.Close(e.Worker, new CoordinatorMessage { Refusal = Wire.ToWire(e.Reason, e.Sentence) });
                break;
            case RunEffect.Prepare e:
                Workers.Send(e.Worker, new CoordinatorMessage { Prepare = new Prepare { Build = e.Build, Checkpoint = e.Checkpoint, Applied = e.Applied, MicroBatch = e.Micro } });
                break;
            case RunEffect.Keep e:
                Workers.Send(e.Worker, new CoordinatorMessage { Keep = new Keep() });
                break;
            case RunEffect.Write e:
                Write(e.Entry);
                break;
            case RunEffect.Discard e:
                Checkpoints.Discard(e.Step);
                break;
            case RunEffect.DiscardFrom e:
                Checkpoints.DiscardFrom(e.Step);
                break;
            case RunEffect.Learn e:
                Workers.Send(e.Worker, new CoordinatorMessage
                {
                    Learn = new Learn { Source = e.Source, Address = e.Address, MicroBatch = e.Micro },
                });
                break;
            case RunEffect.Save e:
                Due.Await(e.Step, _machine.Checkpoint, Length);
                Workers.Send(e.Worker, new CoordinatorMessage { Save = new Save { Step = e.Step } });
                break;
            case RunEffect.Dismiss e:
                Workers.Close(e.Worker, new CoordinatorMessage
                {
                    Dismissal = new Dismissal { Success = e.Success, Sentence = e.Sentence, MayReturn = e.MayReturn, DropState = e.DropsState },
                });
                break;
            case RunEffect.FormGeneration e:
                if (e.Generation > 1)
                {
                    _ledger.NoteLoss(cause);
                }

                FormGeneration(e);
                break;
            case RunEffect.SendPlan e:
                _folder.Append(e, _machine.Generation);
                Workers.Send(_generation, _members, new CoordinatorMessage { Plan = Wire.ToWire(e.Plan) });
                break;
            case RunEffect.Issue e:
                Issue(e);
                break;
            case RunEffect.Record e:
                Record(e);
                break;
            case RunEffect.Announce e:
                Announce(e.Name, e.Sentence);
                break;
            case RunEffect.Finish e:
                _outcome = e.Outcome;
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
        Workers.Admit(worker, new CoordinatorMessage { Welcome = welcome });
    }

    private void FormGeneration(RunEffect.FormGeneration e)
    {
        (_generation, _members) = (e.Generation, e.Members);
        Workers.Tell(e.List);
        _ledger.NoteWorkers(e.Members.Count);
        _vitals.Totals.Form(e.Generation, e.Members.Count);
        _vitals.Totals.Steps = _machine.Course!.ExpectedSteps;
        if (_hasStarted)
        {
            return;
        }

        _hasStarted = true;
        Watchers.Publish(Views.Begun(_machine.Options, _machine.Course!, _folder.Path, e.Members.Count, Checkpoints.Newest?.Parameters ?? 0));
    }

    private void Issue(RunEffect.Issue e)
    {
        Faults?.Issued(e.Operation);
        if (e.CheckpointWriter >= 0)
        {
            Due.Await(e.Operation.Step, _machine.Checkpoint, Length);
        }

        _plans[e.Operation.Number] = e.Plan;
        if (e.Shares is not null)
        {
            _folder.Append(e.Operation, e.Plan, _machine.Generation, e.Shares);
        }

        Workers.Send(_generation, _members, new CoordinatorMessage { Operation = Wire.ToWire(e.Operation, e.Plan, e.CheckpointWriter, e.Shares) });
    }

    /// <summary>Makes a decision durable. Where the disk takes nothing the run goes on: a term is never given twice, so what is lost is how the next coordinator begins.</summary>
    private void Write(JournalEntry entry)
    {
        if (entry is JournalEntry.Generation)
        {
            // A member that joins now cannot report what came before.
            _lines.Flush();
        }

        if (entry is JournalEntry.Rollback e)
        {
            _lines.GoBack(e.Step);
        }

        if (entry is JournalEntry.Decision)
        {
            _vitals.Totals.Steps = _machine.Course!.ExpectedSteps;
        }

        _journal.TryAppend(entry, out var problem);
        if (problem is not null && entry is JournalEntry.Geometry halved)
        {
            // Steps would be written down that nobody could compute again.
            _outcome = new RunOutcome(false,
                $"Micro-batches of step {halved.Change.Step} do not fit, and the journal cannot be told of smaller ones: {problem.TrimEnd('.')}. Make room, or let the folder be written: --resume goes on from checkpoint {_machine.Checkpoint}.");
            return;
        }

        if (problem is not null && _journalProblem is null)
        {
            Announce("disk", $"The journal cannot be written: {problem.TrimEnd('.')}. The run goes on, but a coordinator that starts again would not know of its last decisions.");
        }

        _journalProblem = problem;
    }

    private void Record(RunEffect.Record e)
    {
        _folder.Append(e.Operation, e.Reports, _plans.Remove(e.Operation.Number, out var plan) ? plan : null);
        if (_ledger.Recovered(e) is { } recovery)
        {
            _vitals.Totals.NoteRecovery();
            _folder.Append(
                "recovered", $"Step {recovery.Step} was completed {recovery.Milliseconds:0} ms after the loss was noticed.", e.Generation,
                ("step", recovery.Step), ("milliseconds", recovery.Milliseconds), ("kind", recovery.Kind));
        }

        _ledger.NoteMemory(e);
        if (e.Operation.Kind == OperationKind.Evaluate)
        {
            var evaluation = RunLedger.LineOf(e, _machine.Evaluation);
            _lines.Add(e.Operation.Number, evaluation);
            Checkpoints.NoteEvaluation(evaluation.Step, evaluation.Loss ?? double.NaN);
            Watchers.Publish(Views.Of(evaluation));
            return;
        }

        var step = _noise.Complete(RunLedger.LineOf(e, Length.SamplesOf(e.Operation.Step)), e);
        (_vitals.Totals.Step, _vitals.Totals.Steps) = (step, _machine.Course!.ExpectedSteps);
        if (_lines.Add(e.Operation.Number, step) is { } before)
        {
            Announce("recomputed-differs", $"Step {step.Step} had weights {before} when it was computed before, now {step.WeightsHash}: the hosts do not compute the same bits.");
        }

        Watchers.Publish(Views.Of(step, _machine.Course!));
    }
}
