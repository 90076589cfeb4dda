using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <summary>Something that happens to a run. A worker is named by the id of its connection, which is never used twice.</summary>
public abstract record RunEvent
{
    /// <summary>A worker said hello.</summary>
    public sealed record Arrived(int Worker, WorkerHello Hello) : RunEvent;

    /// <summary>A checkpoint is complete on the coordinator's disk.</summary>
    public sealed record CheckpointPublished(long Step) : RunEvent;

    /// <summary>A worker holds data, model and state.</summary>
    public sealed record Prepared(int Worker, WorkerPreparation Preparation) : RunEvent;

    /// <summary>A worker reaches every peer of a generation.</summary>
    public sealed record Linked(int Worker, ulong Generation) : RunEvent;

    /// <summary>A worker is alive.</summary>
    public sealed record Heard(int Worker) : RunEvent;

    /// <summary>A worker completed an operation.</summary>
    public sealed record Reported(int Worker, OperationReport Report) : RunEvent;

    /// <summary>A worker's connection ended.</summary>
    public sealed record Gone(int Worker, string Reason) : RunEvent;

    /// <summary>A worker cannot go on and says why.</summary>
    public sealed record Faulted(int Worker, string Sentence) : RunEvent;

    /// <summary>The clock moved.</summary>
    public sealed record TimePassed : RunEvent;

    /// <summary>The operator or the machine wants the run to end.</summary>
    public sealed record Stopped(string Reason) : RunEvent;
}

/// <summary>Something the shell has to do, in this order.</summary>
public abstract record RunEffect
{
    /// <summary>Let a worker in.</summary>
    public sealed record Welcome(int Worker) : RunEffect;

    /// <summary>Send a worker away before it took part.</summary>
    public sealed record Refuse(int Worker, RefusalReason Reason, string Sentence) : RunEffect;

    /// <summary>Have a worker build the state, or get a checkpoint.</summary>
    public sealed record Prepare(int Worker, bool Build, long Checkpoint) : RunEffect;

    /// <summary>Tell the members who they are, by rank.</summary>
    public sealed record FormGeneration(ulong Generation, IReadOnlyList<int> Members) : RunEffect;

    /// <summary>Tell the members a new plan.</summary>
    public sealed record SendPlan(BlockPlanTable Plan) : RunEffect;

    /// <summary>Have the members execute an operation.</summary>
    public sealed record Issue(Operation Operation, ulong Plan, int CheckpointWriter) : RunEffect;

    /// <summary>Write down an operation that all members completed, with their reports by rank.</summary>
    public sealed record Record(Operation Operation, ulong Generation, IReadOnlyList<OperationReport> Reports) : RunEffect;

    /// <summary>Tell people.</summary>
    public sealed record Announce(string Name, string Sentence) : RunEffect;

    /// <summary>Dismiss everyone and end.</summary>
    public sealed record Finish(RunOutcome Outcome) : RunEffect;
}
