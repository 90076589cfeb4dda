using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;

namespace DistTrain.Core.Membership;

/// <summary>How far a worker has come.</summary>
internal enum Stage
{
    /// <summary>Let in; it waits for a state.</summary>
    Arrived,

    /// <summary>It builds the state, or gets a checkpoint.</summary>
    Preparing,

    /// <summary>It holds the newest checkpoint and waits for a generation.</summary>
    Ready,

    /// <summary>It copies the state from a member while that one trains.</summary>
    Learning,

    /// <summary>It belongs to the generation.</summary>
    Training,
}

/// <summary>What the coordinator knows of a worker that was let in.</summary>
internal sealed class Member(int id, WorkerHello hello)
{
    private Stage _stage;

    public int Id => id;

    public WorkerHello Hello => hello;

    public string Name { get; } = NameOf(id, hello);

    /// <summary>What its peers are told of it.</summary>
    public ListedMember Listed { get; } = new(id, hello.Address, hello.Number);

    /// <summary>How far it has come.</summary>
    public Stage Stage
    {
        get => _stage;
        set
        {
            _stage = value;
            Moved?.Invoke(this);
        }
    }

    /// <summary>Told when its stage is set.</summary>
    public Action<Member>? Moved { get; set; }

    public TimeSpan LastHeard { get; set; }

    /// <summary>How fast it computes.</summary>
    public SampleTime Time { get; } = new();

    /// <summary>Whether it has proved data, model and arithmetic.</summary>
    public bool IsProved { get; set; }

    /// <summary>Whether it reaches every member of the generation.</summary>
    public bool IsLinked { get; set; }

    /// <summary>How many others it reaches by each transport.</summary>
    public IReadOnlyList<(string Name, int Links)> Transports { get; set; } = [];

    /// <summary>Whether it wants to go.</summary>
    public bool IsLeaving { get; set; }

    /// <summary>The last operation its state contains.</summary>
    public ulong Applied { get; set; }

    /// <summary>The nodes it holds of the operation after <see cref="Applied"/>, as it said when it was last linked.</summary>
    public IReadOnlyList<NodeId> Held { get; set; } = [];

    /// <summary>Most samples of a micro-batch of the operation whose nodes it holds.</summary>
    public int HeldMicro { get; set; }

    /// <summary>The last operation of the state it says it has brought along; null where it has none, or was told to drop it.</summary>
    public ulong? Offer { get; set; }

    /// <summary>The state it brought along, proved; null for none.</summary>
    public KeptState? Kept { get; set; }

    /// <summary>The size of micro-batches that it proposes; 0 where nobody asked.</summary>
    public int Proposal { get; set; }

    /// <summary>The largest such size that it knows to fit its memory.</summary>
    public int Most { get; set; }

    /// <summary>How often it was told to prepare, to keep or to learn.</summary>
    public int Told { get; set; }

    /// <summary>The member a learner copies from.</summary>
    public int Source { get; set; } = -1;

    /// <summary>Whether it has brought its reports of all operations from one on.</summary>
    public bool HasReports(ulong first)
    {
        for (var operation = first; operation <= Applied; operation++)
        {
            if (Kept!.Reports.All(r => r.Operation != operation))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>What people call a worker.</summary>
    public static string NameOf(int id, WorkerHello hello) => $"Worker {(hello.Number >= 0 ? hello.Number : id)}";
}

/// <summary>A state that a worker has kept while it was without a coordinator.</summary>
/// <param name="WeightsHash">Hash of its weights.</param>
/// <param name="Reports">Its reports that may not have been written down.</param>
internal sealed record KeptState(string WeightsHash, IReadOnlyList<OperationReport> Reports);
