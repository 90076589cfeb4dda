using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>What the members of a generation are told.</summary>
internal sealed record Membership(ulong Term, ulong Generation, IReadOnlyList<int> Ids, IReadOnlyList<SimulatedWorker> Members);

/// <summary>What matters in one generation only.</summary>
internal sealed record Bound(ulong Generation, object Message);

/// <summary>An operation as it is handed out, with what every rank contributes.</summary>
internal sealed record IssuedOperation(RunEffect.Issue Issue, IReadOnlyList<WorkShare> Shares, IReadOnlyList<IReadOnlyList<NodeId>> Covers)
{
    public ulong Number => Issue.Operation.Number;
}

/// <summary>Operations up to this one are written down for good.</summary>
internal sealed record Acknowledged(ulong Operation);

/// <summary>One life of the coordinator: the real machine in a shell that carries out what it decides, and may end between any two effects.</summary>
internal sealed class SimulatedCoordinator
{
    private readonly SimulatedRun _run;
    private readonly RunMachine _machine;
    private readonly Dictionary<int, Session> _sessions = [];
    private readonly Dictionary<ulong, BlockPlanTable> _plans = [];
    private ulong _generation;
    private IReadOnlyList<int> _members = [];

    public SimulatedCoordinator(SimulatedRun run, ulong term, RunMemory? memory)
    {
        (_run, Term) = (run, term);
        _machine = new RunMachine(run.Case.Given, "1", "f", memory);
        run.Disk.Write(new JournalEntry.Term(term, new Dictionary<string, string>()));
    }

    public ulong Term { get; }

    public bool IsAlive { get; private set; } = true;

    /// <summary>After how many more effects it is killed; -1 for never.</summary>
    public int EffectsLeft { get; set; } = -1;

    /// <summary>Takes what a worker says.</summary>
    public bool Take(Session session, object message)
    {
        if (message is WorkerHello hello)
        {
            session.Id = _sessions.Count;
            _sessions.Add(session.Id, session);
            Post(new RunEvent.Arrived(session.Id, hello));
        }
        else
        {
            Post((RunEvent)message);
        }

        if (_run.Random.Next(64) == 0)
        {
            _run.Scheduler.After(_run.Random.NextDouble() * 2 * _run.Case.Timeouts.Silence, () => _run.Coordinator.TakeLate(session, message));
        }

        return true;
    }

    /// <summary>Takes what comes once more, some time after it was said.</summary>
    public void TakeLate(Session session, object message)
    {
        if (!IsAlive)
        {
            return;
        }

        if (message is WorkerHello hello)
        {
            // A connection on which nothing follows.
            var repeated = new Session(_run, session.Worker, this);
            repeated.Up.Send(hello);
            _run.Scheduler.After(_run.Random.NextDouble() * _run.Case.Timeouts.Silence, repeated.Up.Break);
        }
        else if (session.Term != Term && _run.Case.Bug != PlantedBug.StaleTermAccepted)
        {
            _run.Counts.StaleTerms++;
        }
        else if (session.Up.IsOver)
        {
            _run.Invariants.StaleTermsAreRefused(session.Term, Term);
            Post((RunEvent)message);
        }
    }

    public void Lose(Session session)
    {
        session.IsAdmitted = false;
        if (session.Id >= 0)
        {
            Post(new RunEvent.Gone(session.Id, "its connection broke"));
        }
    }

    /// <summary>Takes a state; whether it is published the worker is not told.</summary>
    public void Receive(Session session, SimulatedCheckpoint checkpoint)
    {
        if (!session.IsAdmitted)
        {
            return;
        }

        switch (_run.Disk.Publish(checkpoint))
        {
            case null:
                // A run that went back comes by a state it has written before.
                Post(new RunEvent.CheckpointPublished(checkpoint.Step));
                break;
            case true:
                Post(new RunEvent.CheckpointPublished(checkpoint.Step, _run.Canonical.NameOf(checkpoint.Weights)));
                _run.Disk.Retire(_machine.Checkpoint);
                break;
            case false:
                Post(new RunEvent.CheckpointFailed(session.Id, checkpoint.Step, "no space left"));
                break;
        }
    }

    /// <summary>The clock moved: who speaks is heard, and what was written becomes durable some time.</summary>
    public void Tick()
    {
        foreach (var (id, session) in _sessions)
        {
            if (session.IsAdmitted && !session.Worker.IsPaused && !session.Up.IsOver && session.Worker.Session == session
                && !_run.Network.IsCut(session.Worker.Number, SimulatedNetwork.Coordinator))
            {
                session.LastHeard = _run.Scheduler.Now;
                Post(new RunEvent.Heard(id, session.Worker.Executor.Operation, session.Worker.Executor.BlocksDone));
            }
        }

        Post(new RunEvent.TimePassed());
        if (IsAlive && _run.Random.Next(3) == 0)
        {
            _run.Disk.Flush();
            SendAll(new Acknowledged(_run.Disk.Durable));
        }
    }

    public void Post(RunEvent happened)
    {
        if (!IsAlive || _run.Outcome is not null)
        {
            return;
        }

        _run.Trace?.Event(happened);
        foreach (var effect in _run.Invariants.Decide(_machine, happened, _run.Scheduler.Now))
        {
            if (EffectsLeft == 0)
            {
                Kill();
                return;
            }

            EffectsLeft = EffectsLeft < 0 ? -1 : EffectsLeft - 1;
            _run.Trace?.Effect(effect);
            CarryOut(effect);
        }
    }

    public void Kill()
    {
        IsAlive = false;
        _run.Trace?.Note($"The coordinator of term {Term} is killed.");
        foreach (var session in _sessions.Values)
        {
            session.EndAtCoordinator();
        }

        _run.Restart();
    }

    private void CarryOut(RunEffect effect)
    {
        switch (effect)
        {
            case RunEffect.Write e:
                _run.Disk.Write(e.Entry);
                break;
            case RunEffect.Welcome e:
                _sessions[e.Worker].IsAdmitted = true;
                Send(e.Worker, e);
                break;
            case RunEffect.Prepare e:
                _run.Invariants.NoStateIsGivenUp(e, _sessions[e.Worker]);
                Send(e.Worker, e);
                break;
            case RunEffect.Keep e:
                Send(e.Worker, e);
                break;
            case RunEffect.Learn e:
                Send(e.Worker, new LearnFrom(_sessions[e.Source].Worker));
                break;
            case RunEffect.Save e:
                Send(e.Worker, e);
                break;
            case RunEffect.Refuse e:
                _run.Counts.ShortWorkers += e.Reason == RefusalReason.Memory ? 1 : 0;
                Close(e.Worker, e);
                break;
            case RunEffect.Dismiss e:
                Close(e.Worker, e);
                break;
            case RunEffect.FormGeneration e:
                (_generation, _members) = (e.Generation, e.Members);
                _plans.Clear();
                _run.Invariants.BeginGeneration(e, _members.Select(id => _sessions[id].Worker).ToList());
                SendToMembers(e.List);
                break;
            case RunEffect.SendPlan e:
                _plans.Add(e.Plan.Number, e.Plan);
                break;
            case RunEffect.Issue e:
                SendToMembers(Hand(e));
                break;
            case RunEffect.Record e:
                _run.Invariants.RatesAreThoseOfTheRun(e.Operation);
                _run.Invariants.Record(e);
                _run.Counts.Gains += e.Operation.Gain > 1 ? 1 : 0;
                _run.Disk.Append(e.Operation);
                break;
            case RunEffect.DiscardFrom e:
                _run.Disk.DiscardFrom(e.Step);
                break;
            case RunEffect.Discard e:
                _run.Disk.Discard(e.Step);
                break;
            case RunEffect.Announce e:
                _run.Heed(e.Name);
                break;
            case RunEffect.Finish e:
                _run.Disk.Flush();
                _run.End(e.Outcome);
                break;
        }
    }

    private IssuedOperation Hand(RunEffect.Issue issue)
    {
        _run.Invariants.RatesAreThoseOfTheRun(issue.Operation);
        var tree = _run.Canonical.Tree(issue.Operation.Number);
        var shares = issue.Shares is null
            ? [.. PlanOf(issue).Assignments[tree.Blocks].Select(WorkShare.Of)]
            : Spoil(issue.Shares);
        return new IssuedOperation(issue, shares, [.. shares.Select(s => s.Cover(tree))]);
    }

    /// <summary>The plan that an operation names; its members were told it before.</summary>
    private BlockPlanTable PlanOf(RunEffect.Issue issue)
    {
        _run.Invariants.PlansAreSentBeforeTheyAreNamed(issue, _plans.Keys);
        return _plans[issue.Plan];
    }

    /// <summary>Plants a mistake in what becomes of an operation after a loss.</summary>
    private IReadOnlyList<WorkShare> Spoil(IReadOnlyList<WorkShare> shares)
    {
        var spoilt = shares.ToList();
        if (_run.Case.Bug == PlantedBug.LostBlockForgotten && spoilt.FindIndex(s => s.Compute.Count > 0) is var lost and >= 0)
        {
            var last = spoilt[lost].Compute[^1];
            spoilt[lost] = spoilt[lost] with { Compute = [.. spoilt[lost].Compute.SkipLast(1), last with { End = last.End - 1 }] };
        }

        if (_run.Case.Bug == PlantedBug.BlockPlannedTwice && spoilt.Count > 1 && spoilt.FindIndex(s => s.Compute.Count > 0) is var first and >= 0)
        {
            var block = spoilt[first].Compute[0].First;
            var other = (first + 1) % spoilt.Count;
            spoilt[other] = spoilt[other] with { Compute = [.. spoilt[other].Compute, new BlockRange(block, block + 1)] };
        }

        return spoilt;
    }

    private void Close(int worker, RunEffect last)
    {
        var session = _sessions[worker];
        session.IsAdmitted = false;
        session.Down.Send(last);
        session.Down.Close();
    }

    private void Send(int worker, object message) => _sessions[worker].Down.Send(message);

    private void SendToMembers(object message)
    {
        foreach (var member in _members)
        {
            _sessions[member].Send(new Bound(_generation, message));
        }
    }

    private void SendAll(object message)
    {
        foreach (var member in _members)
        {
            Send(member, message);
        }
    }
}
