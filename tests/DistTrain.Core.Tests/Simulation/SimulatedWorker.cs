using System.Globalization;
using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>Have a worker copy the state from another.</summary>
internal sealed record LearnFrom(SimulatedWorker Source);

/// <summary>
/// A worker's process: it joins, does what it is told in one session with the coordinator after the other, and ends when it is dismissed for good or killed. What it
/// does in an operation is its <see cref="SimulatedExecutor"/>'s.
/// </summary>
internal sealed class SimulatedWorker
{
    private readonly SimulatedRun _run;
    private readonly List<PeerCall> _awaiting = [];
    private readonly int _place;
    private bool _saysPrepared;

    private bool _wasKilledForMemory;

    public SimulatedWorker(SimulatedRun run, int number, SimulatedWorker? killedForMemory)
    {
        (_run, Number, _place, _wasKilledForMemory) = (run, number, killedForMemory?._place ?? number, killedForMemory is not null);
        Executor = new SimulatedExecutor(run, this);
        if (run.Case.IsAuto)
        {
            Most = run.Case.Options.Batch.Micro * run.Random.Next(1, 4);
            Proposal = run.Random.Next(1, Most + 1);
        }
    }

    /// <summary>Its number among the processes.</summary>
    public int Number { get; }

    public bool IsAlive { get; private set; } = true;

    /// <summary>Whether it gets no time to run.</summary>
    public bool IsPaused { get; private set; }

    /// <summary>The largest micro-batch that fits its memory; 0 where nobody asks.</summary>
    public int Most { get; }

    /// <summary>The size that suits it.</summary>
    public int Proposal { get; }

    /// <summary>What waits until it runs again.</summary>
    public List<Source> Parked { get; } = [];

    public Session? Session { get; private set; }

    /// <summary>The last generation it belonged to, over or not.</summary>
    public SimulatedGeneration? Generation { get; private set; }

    public SimulatedExecutor Executor { get; }

    /// <summary>Whether its state is one that the run may go on from: a member's, until it is written over.</summary>
    public bool HoldsState { get; private set; }

    /// <summary>The copy under way.</summary>
    public HealCall? Learning { get; private set; }

    /// <summary>Whether joiners may copy its state.</summary>
    public bool OffersState { get; private set; }

    /// <summary>Its reports that may not have been written down; the last one always.</summary>
    public List<OperationReport> Reports { get; } = [];

    /// <summary>Says hello, now or as soon as the coordinator is reached.</summary>
    public void Join()
    {
        if (!IsAlive || Session is not null)
        {
            return;
        }

        var coordinator = _run.Coordinator;
        if (IsPaused || !coordinator.IsAlive || _run.Network.IsCut(Number, SimulatedNetwork.Coordinator))
        {
            JoinLater();
            return;
        }

        Session = new Session(_run, this, coordinator) { LastHeard = _run.Scheduler.Now };
        Session.Up.Send(new WorkerHello(
            RunMachine.Protocol, "1", -1, $"host{_place}", Number, $"http://host:{Number}", "", "", HoldsState ? Executor.Applied : null)
        {
            WasKilledForMemory = _wasKilledForMemory,
        });
    }

    /// <summary>Takes what the coordinator says.</summary>
    /// <returns>False where it cannot yet: it waits for the state before to be written.</returns>
    public bool Take(Session session, object message)
    {
        if (session != Session)
        {
            return true;
        }

        if (Executor.IsWaitingToWrite || (message is RunEffect.Save && session.IsUploading))
        {
            return false;
        }

        _run.Trace?.Message(this, message);
        session.Told += message is RunEffect.Prepare or RunEffect.Keep or LearnFrom ? 1 : 0;
        session.LastHeard = _run.Scheduler.Now;
        switch (message)
        {
            case RunEffect.Welcome:
                _wasKilledForMemory = false;
                break;
            case RunEffect.Prepare e:
                Prepare(e);
                break;
            case LearnFrom e:
                Stop();
                Learning = new HealCall(_run, this, e.Source);
                break;
            case RunEffect.Keep when !HoldsState:
                Answer(new RunEvent.LearningFailed(session.Id, "its state is written over in part"));
                break;
            case RunEffect.Keep:
                Stop();
                Answer(new RunEvent.Kept(session.Id, Proof with { Applied = Executor.Applied, WeightsHash = Name }, [.. Reports]) { Generation = Generation!.Tag.Generation });
                break;
            case MembershipChange e:
                Enter(session, e);
                break;
            case IssuedOperation e:
                session.IsSettled = true;
                Generation!.Add(e);
                break;
            case RunEffect.Save e:
                session.Upload(new SimulatedCheckpoint(e.Step, Executor.Weights));
                break;
            case Acknowledged e:
                while (Reports.Count > 1 && Reports[0].Operation <= e.Operation)
                {
                    Reports.RemoveAt(0);
                }

                break;
            case RunEffect.Dismiss { MayReturn: true } e:
                HoldsState &= !e.DropsState;
                EndSession(inOrder: true);
                JoinLater();
                break;
            case RunEffect.Dismiss or RunEffect.Refuse:
                End(inOrder: true);
                break;
        }

        return true;
    }

    /// <summary>Becomes a member of the next generation.</summary>
    private void Enter(Session session, MembershipChange change)
    {
        var list = session.Members.With(_run.Case.Bug == PlantedBug.ChangeOfAnotherList && change.From > 0 ? change with { From = session.Members.Generation } : change);
        IReadOnlyList<SimulatedWorker>? members = list is null ? null : [.. list.Members.Select(m => _run.Workers[int.Parse(m.Address.AsSpan(m.Address.LastIndexOf(':') + 1), CultureInfo.InvariantCulture)])];
        _run.Invariants.AllMembersKnowTheSame(this, change, members);
        session.Members = list!;
        Stop();
        (Generation, OffersState, HoldsState) = (new SimulatedGeneration(_run, this, session, new Membership(session.Term, list!.Generation, [.. list.Members.Select(m => m.Worker)], members!)), true, true);
        Generation.Open();
        foreach (var call in _awaiting.ToList())
        {
            call.Nodes.Resume();
        }

        _awaiting.Clear();
    }

    /// <summary>The connection broke: what it holds it keeps, and offers.</summary>
    public void LoseSession(Session session)
    {
        if (session == Session)
        {
            _run.Trace?.Note($"Worker {Number} loses its coordinator.");
            EndSession(inOrder: false);
            JoinLater();
        }
    }

    /// <summary>The clock moved: a coordinator that says nothing is given up.</summary>
    public void Tick()
    {
        var patience = Session?.IsSettled == true ? _run.Case.Timeouts.Silence : _run.Case.Timeouts.StartUpSilence;
        if (IsAlive && !IsPaused && Session is not null && _run.Scheduler.Now - Session.LastHeard > patience)
        {
            LoseSession(Session);
        }
    }

    /// <summary>A call of a peer comes in.</summary>
    /// <returns>False where it waits for this worker to learn of the generation it names.</returns>
    public bool TakeCall(PeerCall call)
    {
        if (!IsAlive)
        {
            call.Refuse();
        }
        else if (Generation is null || call.Tag.Generation > Generation.Tag.Generation)
        {
            _awaiting.Add(call);
            return false;
        }
        else if (call.Tag != Generation.Tag && _run.Case.Bug != PlantedBug.StaleGenerationAccepted)
        {
            _run.Counts.StaleCalls++;
            call.Refuse();
        }
        else
        {
            Generation.Serve(call);
        }

        return true;
    }

    /// <summary>Sends an event of this worker to its coordinator.</summary>
    public void Send(RunEvent happened) => Session?.Up.Send(happened);

    /// <summary>Sends what became of what it was told to do.</summary>
    public void Answer(RunEvent happened) => Send(happened with { Told = Session?.Told });

    /// <summary>It is asked to end.</summary>
    public void Leave()
    {
        if (Session is { IsAdmitted: true })
        {
            Send(new RunEvent.LeaveAsked(Session.Id, "it was asked to end"));
        }
        else
        {
            End(inOrder: false);
        }
    }

    public void Kill()
    {
        _run.Trace?.Note($"Worker {Number} is killed.");
        End(inOrder: false);
    }

    public void Pause()
    {
        _run.Trace?.Note($"Worker {Number} is stopped.");
        IsPaused = true;
    }

    public void Continue()
    {
        if (!IsPaused)
        {
            return;
        }

        _run.Trace?.Note($"Worker {Number} runs again.");
        IsPaused = false;
        Parked.ForEach(_run.Scheduler.Wake);
        Parked.Clear();
        if (Session is not null && _run.Random.Next(2) == 0)
        {
            // What came meanwhile is read before it is noticed how long nothing came.
            Session.LastHeard = _run.Scheduler.Now;
        }
    }

    public void FinishUpload(Session session)
    {
        if (session != Session)
        {
            return;
        }

        if (_saysPrepared)
        {
            _saysPrepared = false;
            Answer(new RunEvent.Prepared(session.Id, Proof with { WeightsHash = Name }));
        }

        Executor.FinishUpload();
        session.Down.Resume();
    }

    /// <summary>A learner's state is about to be written over.</summary>
    public void BeginCopy()
    {
        HoldsState = false;
        Executor.Tear();
    }

    /// <summary>A learner has the whole copy.</summary>
    public void FinishCopy(ulong applied, ulong weights)
    {
        Executor.Begin(applied, weights);
        Reports.Clear();
        Answer(new RunEvent.Prepared(Session!.Id, Proof with { Applied = applied, WeightsHash = Name }));
    }

    /// <summary>A learner's copy broke off.</summary>
    public void EndCopy(HealCall call)
    {
        if (call == Learning)
        {
            Learning = null;
            Answer(new RunEvent.LearningFailed(Session!.Id, "the source ended the call"));
        }
    }

    private WorkerPreparation Proof => _run.Proof with { Proposal = Proposal, Most = Most };

    private string Name => _run.Canonical.NameOf(Executor.Weights);

    private void Prepare(RunEffect.Prepare e)
    {
        Stop();
        HoldsState = false;
        Reports.Clear();
        if (e.Build)
        {
            Executor.Begin(0, CanonicalRun.InitialWeights);
            _saysPrepared = true;
            Session!.Upload(new SimulatedCheckpoint(0, CanonicalRun.InitialWeights));
        }
        else if (_run.Disk.Checkpoint(e.Checkpoint) is { } checkpoint)
        {
            _run.Invariants.CheckpointsHoldWhatTheySay(e, checkpoint);
            Executor.Begin(e.Applied, checkpoint.Weights);
            Answer(new RunEvent.Prepared(Session!.Id, Proof with { WeightsHash = Name }));
        }
        else
        {
            Answer(new RunEvent.LearningFailed(Session!.Id, $"There is no checkpoint of step {e.Checkpoint}."));
        }
    }

    private void JoinLater() => _run.Scheduler.After(TimeSpan.FromMilliseconds(_run.Random.Next(100, 400)), Join);

    private void Stop()
    {
        Generation?.End();
        Executor.Stop();
        Learning?.Cancel();
        Learning = null;
    }

    private void EndSession(bool inOrder)
    {
        Stop();
        Session?.EndAtWorker(inOrder);
        (Session, OffersState, _saysPrepared) = (null, false, false);
        Executor.FinishUpload();
    }

    private void End(bool inOrder)
    {
        IsAlive = false;
        EndSession(inOrder);
        IsPaused = false;
        Executor.EndFeeds();
        _awaiting.ForEach(call => call.Refuse());
        Parked.ForEach(_run.Scheduler.Wake);
        Parked.Clear();
    }
}
