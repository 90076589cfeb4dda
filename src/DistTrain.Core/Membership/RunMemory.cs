using DistTrain.Core.Journals;

namespace DistTrain.Core.Membership;

/// <summary>What a coordinator that starts again knows of the run: the journal's decisions, and what lies in the run's folder.</summary>
public sealed record RunMemory
{
    /// <summary>The last generation that was formed; 0 for none.</summary>
    public ulong Generation { get; init; }

    /// <summary>How many workers it had: so many may come back with their state.</summary>
    public int Members { get; init; }

    /// <summary>What the first worker proved; null where none had.</summary>
    public WorkerPreparation? Reference { get; init; }

    /// <summary>Whether every worker so far computes the same bits.</summary>
    public bool PromisesSameBits { get; init; } = true;

    /// <summary>How the size of micro-batches changed, in order.</summary>
    public IReadOnlyList<JournalEntry.Geometry> Geometry { get; init; } = [];

    /// <summary>The size of micro-batches that the workers found; 0 where that was not left to them, or not yet done.</summary>
    public int MicroBatch { get; init; }

    /// <summary>The step of the newest checkpoint that is whole; -1 for none.</summary>
    public long Checkpoint { get; init; } = -1;

    /// <summary>The last step up to which every step has its line.</summary>
    public long RecordedStep { get; init; }

    /// <summary>The steps after which an evaluation has its line.</summary>
    public IReadOnlySet<long> Evaluated { get; init; } = new HashSet<long>();

    /// <summary>How many steps up to the last recorded one were skipped in a row.</summary>
    public int Skipped { get; init; }

    /// <summary>What the journal says; the rest is for whoever reads the folder.</summary>
    public static RunMemory Of(IEnumerable<JournalEntry> entries)
    {
        var memory = new RunMemory();
        foreach (var entry in entries)
        {
            memory = entry switch
            {
                JournalEntry.Generation e => memory with { Generation = e.Number, Members = e.Members },
                JournalEntry.Rollback => memory with { Members = 0 },
                JournalEntry.Reference e => memory with { Reference = e.Proof },
                JournalEntry.Geometry e => memory with { Geometry = [.. memory.Geometry, e] },
                JournalEntry.MicroBatch e => memory with { MicroBatch = e.Size },
                JournalEntry.MixedHosts => memory with { PromisesSameBits = false },
                _ => memory,
            };
        }

        return memory;
    }
}
