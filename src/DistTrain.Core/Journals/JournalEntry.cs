using System.Text.Json.Serialization;
using DistTrain.Core.Membership;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Journals;

/// <summary>
/// A decision of the coordinator that a restarted one has to know. It is on disk before it takes effect. Completed steps are not among them: they are told by
/// <c>metrics.jsonl</c>, which is made durable off the step path.
/// </summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(Run), "run")]
[JsonDerivedType(typeof(Term), "term")]
[JsonDerivedType(typeof(Reference), "reference")]
[JsonDerivedType(typeof(Generation), "generation")]
[JsonDerivedType(typeof(Rollback), "rollback")]
[JsonDerivedType(typeof(MixedHosts), "mixedHosts")]
[JsonDerivedType(typeof(Geometry), "geometry")]
[JsonDerivedType(typeof(MicroBatch), "microBatch")]
[JsonDerivedType(typeof(Decision), "decision")]
[JsonDerivedType(typeof(End), "end")]
public abstract record JournalEntry
{
    /// <summary>The first line: which run this is.</summary>
    /// <param name="Id">Its id, in hexadecimal.</param>
    /// <param name="Version">The program's version that began it.</param>
    public sealed record Run(string Id, string Version) : JournalEntry;

    /// <summary>A coordinator started.</summary>
    /// <param name="Number">Raised by 1 at every start, from 1.</param>
    /// <param name="Configuration">The configuration it goes by, as a flat table.</param>
    public sealed record Term(ulong Number, IReadOnlyDictionary<string, string> Configuration) : JournalEntry;

    /// <summary>What the first worker proved, and all others are held against.</summary>
    public sealed record Reference(WorkerPreparation Proof) : JournalEntry;

    /// <summary>The membership changed.</summary>
    /// <param name="Number">The generation.</param>
    /// <param name="Members">How many workers it has.</param>
    /// <param name="Operation">The last operation that was handed out before it.</param>
    public sealed record Generation(ulong Number, int Members, ulong Operation) : JournalEntry;

    /// <summary>The run went back to a checkpoint: what was computed after it is computed again, with the same bits.</summary>
    /// <param name="Step">The checkpoint's step.</param>
    public sealed record Rollback(long Step) : JournalEntry;

    /// <summary>A host that computes other bits was let in: the run promises no equal bits any more.</summary>
    public sealed record MixedHosts : JournalEntry;

    /// <summary>From an operation on that no member has applied, micro-batches are smaller: they did not fit.</summary>
    /// <param name="Change">From which step on, and how small.</param>
    /// <param name="Since">The first generation that goes by it. Who has applied the operation in an earlier one has a state that is none of the run's.</param>
    /// <param name="Operation">The operation's number.</param>
    public sealed record Geometry(GeometryChange Change, ulong Since, ulong Operation) : JournalEntry;

    /// <summary>The workers have found the size of micro-batches, as the configuration left it to them; ahead of the first generation.</summary>
    /// <param name="Size">Most samples of a micro-batch.</param>
    public sealed record MicroBatch(int Size) : JournalEntry;

    /// <summary>What operations showed changes the course: the global batch, or where the run ends.</summary>
    /// <param name="Made">What was decided.</param>
    public sealed record Decision(RunDecision Made) : JournalEntry;

    /// <summary>The run ended.</summary>
    /// <param name="Status">How.</param>
    /// <param name="Sentence">Why.</param>
    public sealed record End(RunStatus Status, string Sentence) : JournalEntry;
}
