using DistTrain.Core.Reduction;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>What names every transfer between workers.</summary>
internal readonly record struct PeerTag(ulong Term, ulong Generation);

/// <summary>What workers say to each other in a call.</summary>
internal abstract record PeerMessage;

/// <summary>Opens a call, and answers it.</summary>
internal sealed record Greeting : PeerMessage
{
    public static Greeting Instance { get; } = new();
}

/// <summary>The receiver's slice of a node.</summary>
internal sealed record NodeMessage(ulong Operation, ulong Weights, NodeId Node, Gradient Sum) : PeerMessage;

/// <summary>The sender's reduced shard.</summary>
internal sealed record ShardMessage(ulong Operation, Gradient Sum) : PeerMessage;

/// <summary>A call from one member to another: nodes go there, that one's shards come back.</summary>
internal sealed class PeerCall
{
    private readonly SimulatedRun _run;
    private readonly SimulatedGeneration? _caller;
    private readonly int _peer;
    private SimulatedGeneration? _server;

    /// <summary>A call that has said hello.</summary>
    /// <param name="run">Where it is.</param>
    /// <param name="caller">Who calls; null for a late copy of a call that is over.</param>
    /// <param name="tag">What the call says it belongs to.</param>
    /// <param name="rank">The caller's rank.</param>
    /// <param name="number">The caller's process.</param>
    /// <param name="peer">The rank that is called.</param>
    /// <param name="callee">The worker that is called.</param>
    public PeerCall(SimulatedRun run, SimulatedGeneration? caller, PeerTag tag, int rank, int number, int peer, SimulatedWorker callee)
    {
        (_run, _caller, Tag, Rank, _peer, Callee) = (run, caller, tag, rank, peer, callee);
        Nodes = new Link<PeerMessage>(run, number, callee.Number, TakeAtCallee, EndAtCallee);
        Shards = new Link<PeerMessage>(run, callee.Number, number, TakeAtCaller, EndAtCaller);
        Sent = run.Random.Next(16) == 0 ? [] : null;
        Nodes.Send(Greeting.Instance);
    }

    public PeerTag Tag { get; }

    public int Rank { get; }

    public SimulatedWorker Callee { get; }

    public Link<PeerMessage> Nodes { get; }

    public Link<PeerMessage> Shards { get; }

    /// <summary>What was sent, where a copy of it will arrive late; else null.</summary>
    public List<PeerMessage>? Sent { get; }

    /// <summary>Whether it is a copy of a call that is over.</summary>
    public bool IsLate => _caller is null;

    /// <summary>Whether the callee has hung up.</summary>
    public bool IsOver { get; private set; }

    public void Send(NodeMessage message)
    {
        Sent?.Add(message);
        Nodes.Send(message);
    }

    /// <summary>The callee takes it as a call of its generation.</summary>
    public void Accept(SimulatedGeneration server)
    {
        _server = server;
        Shards.Send(Greeting.Instance);
    }

    /// <summary>The callee does not take it.</summary>
    public void Refuse()
    {
        IsOver = true;
        Nodes.Drop();
        Shards.Close();
    }

    /// <summary>The caller hangs up.</summary>
    public void EndByCaller()
    {
        Shards.Drop();
        Nodes.Break();
    }

    /// <summary>The callee hangs up.</summary>
    public void EndByCallee()
    {
        IsOver = true;
        Nodes.Drop();
        Shards.Break();
    }

    /// <summary>The connection is reset; both ends notice.</summary>
    public void Reset()
    {
        Nodes.Break();
        Shards.Break();
    }

    /// <summary>Either end finds that the other one has not answered for too long.</summary>
    public void GiveUp()
    {
        IsOver = true;
        Nodes.Drop();
        Shards.Drop();
        EndAtCallee();
        EndAtCaller();
    }

    private bool TakeAtCallee(PeerMessage message)
    {
        if (message is not NodeMessage node)
        {
            return Callee.TakeCall(this);
        }

        if (_server!.IsOver)
        {
            Nodes.Drop();
            return true;
        }

        _run.Invariants.StaleGenerationsAreRefused(Tag, _server.Tag);
        return _server.TakeNode(this, node);
    }

    private bool TakeAtCaller(PeerMessage message)
    {
        if (_caller is null || _caller.IsOver)
        {
            Shards.Drop();
            return true;
        }

        if (message is ShardMessage shard)
        {
            return _caller.TakeShard(_peer, shard, Shards);
        }

        _caller.TakeAnswer();
        return true;
    }

    private void EndAtCallee()
    {
        IsOver = true;
        _server?.Break(Rank, "it ended the call");
    }

    private void EndAtCaller() => _caller?.Break(_peer, "it ended the call");
}
