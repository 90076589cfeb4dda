namespace DistTrain.Core.Health;

/// <summary>What a worker is at. Most of it is waiting, for a reason that has a name; the rest has to get on.</summary>
public enum WorkerActivity
{
    /// <summary>It does not listen for its peers yet.</summary>
    Starting,

    /// <summary>It waits for a coordinator that answers.</summary>
    Dialing,

    /// <summary>It has joined, or its generation is over: the coordinator says what comes next.</summary>
    Attending,

    /// <summary>It opens the data, which may have to be fetched first.</summary>
    Loading,

    /// <summary>It builds the model and computes the probe gradient. Has to get on.</summary>
    Building,

    /// <summary>It sends the state it has built to the coordinator.</summary>
    Sending,

    /// <summary>It copies the state. Has to get on.</summary>
    Copying,

    /// <summary>It waits for its source: until that stands still to be copied, which takes as long as an evaluation, or for what it applies next.</summary>
    Following,

    /// <summary>It waits until the members of its generation have reached each other, or for the next operation.</summary>
    Awaiting,

    /// <summary>It computes blocks. Has to get on.</summary>
    Computing,

    /// <summary>It has computed, and waits for the other members' sums.</summary>
    Exchanging,

    /// <summary>It applies a reduced step. Has to get on.</summary>
    Updating,

    /// <summary>The run has ended, and it stays.</summary>
    Staying,
}

/// <summary>What is known of a worker at a moment.</summary>
public sealed record WorkerCondition
{
    /// <summary>What it is at.</summary>
    public required WorkerActivity Activity { get; init; }

    /// <summary>When it began that, or last got on with it.</summary>
    public required TimeSpan Since { get; init; }

    /// <summary>The longest that a piece of such work has taken so far; null where there is none yet.</summary>
    public TimeSpan? Longest { get; init; }

    /// <summary>Why it waits, in a sentence, where the activity alone does not say.</summary>
    public string Detail { get; init; } = "";

    /// <summary>Whether it is a member of the current generation.</summary>
    public bool IsMember { get; init; }

    /// <summary>The generation it is or was a member of; 0 for none.</summary>
    public ulong Generation { get; init; }

    /// <summary>Its rank there.</summary>
    public int Rank { get; init; }

    /// <summary>How many members there are.</summary>
    public int WorldSize { get; init; }
}
