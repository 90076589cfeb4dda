using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>A worker's part in one generation: reach every member, say what it holds, take part in the operations it is given, until the next one begins.</summary>
internal sealed class SimulatedGeneration
{
    private readonly SimulatedRun _run;
    private readonly SimulatedWorker _worker;
    private readonly Session _session;
    private readonly IReadOnlyList<SimulatedWorker> _members;
    private readonly PeerCall?[] _outgoing;
    private readonly PeerCall?[] _served;
    private readonly Queue<IssuedOperation> _operations = [];
    private readonly List<Link<PeerMessage>> _waiting = [];
    private readonly SimulatedAllReduce? _earlier;
    private SimulatedAllReduce? _current;
    private SimulatedAllReduce? _ahead;
    private int _answered;
    private bool _isBroken;

    public SimulatedGeneration(SimulatedRun run, SimulatedWorker worker, Session session, Membership membership)
    {
        (_run, _worker, _session, _members) = (run, worker, session, membership.Members);
        Tag = new PeerTag(membership.Term, membership.Generation);
        Rank = membership.Ids.ToList().IndexOf(session.Id);
        _outgoing = new PeerCall?[WorldSize];
        _served = new PeerCall?[WorldSize];
        _earlier = worker.Generation?._current;
    }

    public PeerTag Tag { get; }

    public int Rank { get; }

    public int WorldSize => _members.Count;

    public bool IsOver { get; private set; }

    /// <summary>Calls every other member.</summary>
    public void Open()
    {
        for (var peer = 0; peer < WorldSize; peer++)
        {
            if (peer != Rank)
            {
                _outgoing[peer] = new PeerCall(_run, this, Tag, Rank, _worker.Number, peer, _members[peer]);
            }
        }

        if (WorldSize == 1)
        {
            TellLinked();
        }

        _run.Scheduler.After(_run.Case.Timeouts.Link, () =>
        {
            if (_answered < WorldSize - 1)
            {
                Break(Rank == 0 ? 1 : 0, "no answer in time");
            }
        });
    }

    public void TakeAnswer()
    {
        if (++_answered == WorldSize - 1)
        {
            TellLinked();
        }
    }

    /// <summary>Takes a call of another member, as long as there is none.</summary>
    public void Serve(PeerCall call)
    {
        if (IsOver || call.Rank == Rank || call.Rank >= WorldSize || _served[call.Rank] is { IsOver: false })
        {
            call.Refuse();
            return;
        }

        _run.Invariants.StaleGenerationsAreRefused(call.Tag, Tag);
        _served[call.Rank] = call;
        call.Accept(this);
    }

    public void Add(IssuedOperation operation)
    {
        _operations.Enqueue(operation);
        _run.Scheduler.Wake(_worker.Executor);
    }

    public IssuedOperation? TakeNext() => _operations.TryDequeue(out var operation) ? operation : null;

    /// <summary>Makes an operation the current one: what came early is taken now.</summary>
    public SimulatedAllReduce Begin(IssuedOperation issued, ulong weights)
    {
        _current = _ahead?.Number == issued.Number ? _ahead : new SimulatedAllReduce(_run, _worker, this, issued, weights, _current ?? _earlier);
        _waiting.ForEach(link => link.Resume());
        _waiting.Clear();
        return _current;
    }

    public void SendNode(NodeMessage message)
    {
        foreach (var call in _outgoing)
        {
            call?.Send(message);
        }
    }

    public void SendShard(ShardMessage message)
    {
        foreach (var call in _served)
        {
            call?.Shards.Send(message);
        }
    }

    /// <summary>Takes a node of a peer.</summary>
    /// <returns>False where the operation has not begun here: it waits on its link, and holds back what comes after.</returns>
    public bool TakeNode(PeerCall call, NodeMessage message)
    {
        if (call.IsLate && (_current is null || message.Operation < _current.Number || _current.Refuses(call.Rank, message)))
        {
            _run.Counts.LateNodes++;
            call.Refuse();
            Break(call.Rank, "a node is refused");
            return true;
        }

        if (Find(message.Operation, call.Nodes) is not { } reduction)
        {
            return false;
        }

        reduction.TakeNode(call.Rank, message);
        return true;
    }

    /// <summary>Takes an owner's shard.</summary>
    /// <returns>False where the operation has not begun here.</returns>
    public bool TakeShard(int owner, ShardMessage message, Link<PeerMessage> link)
    {
        if (Find(message.Operation, link) is not { } reduction)
        {
            return false;
        }

        reduction.TakeShard(owner, message.Sum);
        return true;
    }

    /// <summary>A link does not hold. The coordinator is told of the first one, if it does not notice by itself.</summary>
    public void Break(int peer, string reason)
    {
        if (_isBroken || IsOver)
        {
            return;
        }

        _isBroken = true;
        _run.Scheduler.After(_run.Case.Timeouts.LinkReport, () =>
        {
            if (_worker.Session == _session)
            {
                _worker.Send(new RunEvent.LinkBroke(_session.Id, Tag.Generation, peer, reason));
            }
        });
    }

    /// <summary>Resets a call to a member, as a bad network does.</summary>
    public void ResetCall(int peer) => _outgoing[peer]?.Reset();

    /// <summary>Finds that a member has not answered for too long.</summary>
    public void GiveUp(SimulatedWorker peer)
    {
        for (var rank = 0; rank < WorldSize && !IsOver; rank++)
        {
            if (_members[rank] == peer)
            {
                _outgoing[rank]?.GiveUp();
            }
        }
    }

    /// <summary>Hangs up on everyone.</summary>
    public void End()
    {
        if (IsOver)
        {
            return;
        }

        IsOver = true;
        for (var peer = 0; peer < WorldSize; peer++)
        {
            if (_outgoing[peer] is { } call)
            {
                call.EndByCaller();
                CopyLate(call);
            }

            _served[peer]?.EndByCallee();
        }

        _waiting.Clear();
    }

    private void TellLinked()
    {
        _run.Invariants.Link(_worker, Tag.Generation);
        _worker.Send(new RunEvent.Linked(_session.Id, Tag.Generation, _worker.Executor.Applied, _worker.Executor.Held) { Micro = _worker.Executor.HeldMicro });
    }

    private SimulatedAllReduce? Find(ulong number, Link<PeerMessage> link)
    {
        if (_current is not null && _current.Number == number)
        {
            return _current;
        }

        if (_current is not null && _run.Case.Bug == PlantedBug.OwnerAheadOfItsApply && _current.IsOwnDone && number == _current.Number + 1
            && _current.Number > _worker.Executor.Applied && _operations.TryPeek(out var next) && next.Number == number)
        {
            return _ahead ??= new SimulatedAllReduce(_run, _worker, this, next, 0, null);
        }

        _run.Invariants.NobodyIsTwoAhead(_worker, number, _current);
        _run.Counts.EarlyArrivals++;
        _waiting.Add(link);
        return null;
    }

    /// <summary>The network may bring a copy of the whole call again, when nobody expects it any more.</summary>
    private void CopyLate(PeerCall call)
    {
        if (call.Sent is not { } sent)
        {
            return;
        }

        _run.Scheduler.After(TimeSpan.FromMilliseconds(_run.Random.Next(1000)), () =>
        {
            var copy = new PeerCall(_run, null, call.Tag, call.Rank, _worker.Number, 0, call.Callee);
            foreach (var message in sent)
            {
                copy.Nodes.Send(message);
            }

            copy.Nodes.Close();
        });
    }
}
