namespace DistTrain.Core.Tests.Simulation;

/// <summary>How often what can happen did: a simulation that never goes some way shows nothing of it.</summary>
internal sealed record Counts
{
    public long Events { get; set; }

    public long Operations { get; set; }

    public long Generations { get; set; }

    /// <summary>Nodes that a later generation took from an earlier one.</summary>
    public long KeptNodes { get; set; }

    /// <summary>Operations of which a member contributed the root to those behind it.</summary>
    public long HandedRoots { get; set; }

    /// <summary>Returns to a checkpoint.</summary>
    public long Rollbacks { get; set; }

    /// <summary>Runs that went on from the state workers brought along.</summary>
    public long Resumptions { get; set; }

    /// <summary>Starts of the coordinator after the first.</summary>
    public long Restarts { get; set; }

    /// <summary>Times at which no member was left.</summary>
    public long Deserted { get; set; }

    /// <summary>Messages that waited for their operation to begin.</summary>
    public long EarlyArrivals { get; set; }

    /// <summary>Calls of an earlier generation that were refused.</summary>
    public long StaleCalls { get; set; }

    /// <summary>Nodes that came once more in their own generation and were refused.</summary>
    public long LateNodes { get; set; }

    /// <summary>Messages to an earlier coordinator that were refused.</summary>
    public long StaleTerms { get; set; }

    /// <summary>Links between living members that broke.</summary>
    public long BrokenLinks { get; set; }

    /// <summary>Times at which micro-batches were halved, as they did not fit.</summary>
    public long Halvings { get; set; }

    /// <summary>Times at which the workers found the size of micro-batches.</summary>
    public long Searches { get; set; }

    /// <summary>Workers that were refused, as their memory has no room for the run's micro-batches.</summary>
    public long ShortWorkers { get; set; }

    /// <summary>Global batches that were decided on, by what operations showed.</summary>
    public long Decisions { get; set; }

    /// <summary>Ends of runs that were decided on so.</summary>
    public long EarlyStops { get; set; }

    /// <summary>Steps that were worth more than one of the reference batch.</summary>
    public long Gains { get; set; }

    /// <summary>Changes of the members that were left out, as there was a newer one.</summary>
    public long LeftOut { get; set; }

    /// <summary>Checkpoints that were not written.</summary>
    public long FailedCheckpoints { get; set; }

    public void Add(Counts other)
    {
        Events += other.Events;
        Operations += other.Operations;
        Generations += other.Generations;
        KeptNodes += other.KeptNodes;
        HandedRoots += other.HandedRoots;
        Rollbacks += other.Rollbacks;
        Resumptions += other.Resumptions;
        Restarts += other.Restarts;
        Deserted += other.Deserted;
        EarlyArrivals += other.EarlyArrivals;
        StaleCalls += other.StaleCalls;
        LateNodes += other.LateNodes;
        StaleTerms += other.StaleTerms;
        BrokenLinks += other.BrokenLinks;
        Halvings += other.Halvings;
        Searches += other.Searches;
        ShortWorkers += other.ShortWorkers;
        Decisions += other.Decisions;
        EarlyStops += other.EarlyStops;
        Gains += other.Gains;
        LeftOut += other.LeftOut;
        FailedCheckpoints += other.FailedCheckpoints;
    }
}
