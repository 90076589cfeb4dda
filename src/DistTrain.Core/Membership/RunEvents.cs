using DistTrain.Core.Journals;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <summary>Something that happens to a run. A worker is named by the id of its connection, which is never used twice.</summary>
public abstract record RunEvent
{
    /// <summary>
    /// How often the worker had been told to prepare, to keep or to learn when it said so. What it says of that counts only where it has not been told otherwise since;
    /// null where it says nothing of that.
    /// </summary>
    public int? Told { get; init; }

    /// <summary>A worker said hello.</summary>
    public sealed record Arrived(int Worker, WorkerHello Hello) : RunEvent;

    /// <summary>A checkpoint is complete on the coordinator's disk.</summary>
    /// <param name="Step">The step whose state it holds.</param>
    /// <param name="WeightsHash">Hash of its weights; null where it is not known.</param>
    public sealed record CheckpointPublished(long Step, string? WeightsHash = null) : RunEvent;

    /// <summary>An attempt to write a checkpoint has failed.</summary>
    public sealed record CheckpointFailed(int Worker, long Step, string Reason) : RunEvent;

    /// <summary>A worker holds data, model and a state.</summary>
    public sealed record Prepared(int Worker, WorkerPreparation Preparation) : RunEvent;

    /// <summary>A worker that came back with its state proves it.</summary>
    /// <param name="Worker">The worker.</param>
    /// <param name="Preparation">What it proves; <see cref="WorkerPreparation.Applied"/> is the last operation that the state contains.</param>
    /// <param name="Reports">What it could not report, or does not know to be written down; the last one always.</param>
    public sealed record Kept(int Worker, WorkerPreparation Preparation, IReadOnlyList<OperationReport> Reports) : RunEvent
    {
        /// <summary>The last generation that it was a member of.</summary>
        public ulong Generation { get; init; }
    }

    /// <summary>A learner's state contains one more operation.</summary>
    public sealed record Learned(int Worker, ulong Applied) : RunEvent;

    /// <summary>A worker could not copy the state, from a member or from the checkpoint it was told to get, or does not have the one it was told to keep any more.</summary>
    public sealed record LearningFailed(int Worker, string Reason) : RunEvent;

    /// <summary>A worker reaches every peer of a generation.</summary>
    /// <param name="Worker">The worker.</param>
    /// <param name="Generation">The generation.</param>
    /// <param name="Applied">The last operation its state contains.</param>
    /// <param name="Held">The nodes it holds of the operation after that.</param>
    public sealed record Linked(int Worker, ulong Generation, ulong Applied, IReadOnlyList<NodeId> Held) : RunEvent
    {
        /// <summary>Most samples of a micro-batch of the operation whose nodes it holds: nodes of another size are none of it.</summary>
        public int Micro { get; init; }

        /// <summary>How many others it reaches by each transport.</summary>
        public IReadOnlyList<(string Name, int Links)> Transports { get; init; } = [];
    }

    /// <summary>A member does not reach another one, of which nothing else is known.</summary>
    public sealed record LinkBroke(int Worker, ulong Generation, int Peer, string Reason) : RunEvent;

    /// <summary>A worker is alive.</summary>
    /// <param name="Worker">The worker.</param>
    /// <param name="Operation">The operation it carries out; 0 for none.</param>
    /// <param name="BlocksDone">Own blocks of it that are done.</param>
    public sealed record Heard(int Worker, ulong Operation = 0, int BlocksDone = 0) : RunEvent;

    /// <summary>A worker completed an operation.</summary>
    public sealed record Reported(int Worker, OperationReport Report) : RunEvent;

    /// <summary>A worker's connection ended.</summary>
    /// <param name="Worker">The worker.</param>
    /// <param name="Reason">Why, as the end of "was lost: ...".</param>
    /// <param name="MayReturn">Whether it is welcome again; not where it broke the protocol.</param>
    public sealed record Gone(int Worker, string Reason, bool MayReturn = true) : RunEvent;

    /// <summary>A worker cannot go on and says why.</summary>
    public sealed record Faulted(int Worker, string Sentence) : RunEvent;

    /// <summary>A micro-batch did not fit a worker's memory.</summary>
    /// <param name="Worker">The worker.</param>
    /// <param name="Generation">The generation.</param>
    /// <param name="Operation">The operation the micro-batch belongs to.</param>
    /// <param name="Sentence">What the worker was told.</param>
    public sealed record OutOfMemory(int Worker, ulong Generation, ulong Operation, string Sentence) : RunEvent;

    /// <summary>A worker wants to go, in order.</summary>
    public sealed record LeaveAsked(int Worker, string Sentence) : RunEvent;

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
    /// <param name="Worker">The worker.</param>
    /// <param name="Build">Whether it builds it.</param>
    /// <param name="Checkpoint">The step of the checkpoint it gets otherwise.</param>
    /// <param name="Applied">The last operation that state contains.</param>
    public sealed record Prepare(int Worker, bool Build, long Checkpoint, ulong Applied) : RunEffect
    {
        /// <summary>Most samples of a micro-batch, where the workers had to find that and have; else 0.</summary>
        public int Micro { get; init; }
    }

    /// <summary>Have a worker that came back keep the state it offered, and prove it.</summary>
    public sealed record Keep(int Worker) : RunEffect;

    /// <summary>Have a worker copy the state from a member that trains, and follow it.</summary>
    public sealed record Learn(int Worker, int Source) : RunEffect
    {
        /// <summary>Where the source is reached.</summary>
        public required string Address { get; init; }

        /// <summary>Most samples of a micro-batch, where the workers had to find that; else 0.</summary>
        public int Micro { get; init; }
    }

    /// <summary>Tell the members who they are, by rank; they stop what they do, link, and say what they hold.</summary>
    /// <param name="List">Who they are.</param>
    public sealed record FormGeneration(MemberList List) : RunEffect
    {
        /// <summary>The generation.</summary>
        public ulong Generation => List.Generation;

        /// <summary>The members' ids, by rank.</summary>
        public IReadOnlyList<int> Members { get; } = [.. List.Members.Select(m => m.Worker)];
    }

    /// <summary>Tell the members a new plan.</summary>
    /// <param name="Plan">The plan.</param>
    /// <param name="From">The first operation that names it.</param>
    /// <param name="SecondsPerSample">By rank, what it was made from; null for a member that was not measured yet.</param>
    public sealed record SendPlan(BlockPlanTable Plan, ulong From, IReadOnlyList<double?> SecondsPerSample) : RunEffect;

    /// <summary>Have the members execute an operation.</summary>
    /// <param name="Operation">The operation.</param>
    /// <param name="Plan">The plan by which its blocks are computed.</param>
    /// <param name="CheckpointWriter">The rank that writes the state after it, or -1.</param>
    /// <param name="Shares">What each rank contributes instead, where the members have changed since the operation began; else null.</param>
    public sealed record Issue(Operation Operation, ulong Plan, int CheckpointWriter, IReadOnlyList<WorkShare>? Shares = null) : RunEffect;

    /// <summary>Have a member write its state, which is that after a step.</summary>
    public sealed record Save(int Worker, long Step) : RunEffect;

    /// <summary>Make a decision durable before whatever follows is done.</summary>
    public sealed record Write(JournalEntry Entry) : RunEffect;

    /// <summary>Throw a checkpoint away: it does not hold the run's state.</summary>
    public sealed record Discard(long Step) : RunEffect;

    /// <summary>Throw away the checkpoints of a step and of later ones: they hold states that the run will not come to.</summary>
    public sealed record DiscardFrom(long Step) : RunEffect;

    /// <summary>
    /// Write down an operation that the members completed, with their reports by rank. After a return to a checkpoint, operations that were written down before come
    /// again.
    /// </summary>
    public sealed record Record(Operation Operation, ulong Generation, IReadOnlyList<OperationReport> Reports) : RunEffect;

    /// <summary>Tell people.</summary>
    public sealed record Announce(string Name, string Sentence) : RunEffect;

    /// <summary>Send away a worker that took part.</summary>
    /// <param name="Worker">The worker.</param>
    /// <param name="Success">Whether it left as it asked.</param>
    /// <param name="MayReturn">Whether it may join anew.</param>
    /// <param name="Sentence">Why.</param>
    /// <param name="DropsState">Whether its state is wrong, so that it must not bring it along.</param>
    public sealed record Dismiss(int Worker, bool Success, bool MayReturn, string Sentence, bool DropsState = false) : RunEffect;

    /// <summary>Dismiss everyone and end.</summary>
    public sealed record Finish(RunOutcome Outcome) : RunEffect;
}
