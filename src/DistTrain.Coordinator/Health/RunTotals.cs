namespace DistTrain.Coordinator.Health;

/// <summary>How a run stands. The loop notes it; any thread may read.</summary>
internal sealed class RunTotals
{
    private StepRecord? _step;
    private long _steps;
    private long _generation;
    private int _worldSize;
    private long _checkpoint = -1;
    private long _skipped;
    private long _joined;
    private long _lost;
    private long _recoveries;
    private long _checkpointFailures;

    /// <summary>The last step that was completed; null before the first.</summary>
    public StepRecord? Step
    {
        get => Volatile.Read(ref _step);
        set
        {
            Volatile.Write(ref _step, value);
            if (value?.Skipped == true)
            {
                Interlocked.Increment(ref _skipped);
            }
        }
    }

    /// <summary>Steps of the whole run; 0 before that is known.</summary>
    public long Steps
    {
        get => Volatile.Read(ref _steps);
        set => Volatile.Write(ref _steps, value);
    }

    /// <summary>The step of the newest checkpoint that counts; -1 for none.</summary>
    public long Checkpoint
    {
        get => Volatile.Read(ref _checkpoint);
        set => Volatile.Write(ref _checkpoint, value);
    }

    /// <summary>The current generation.</summary>
    public long Generation => Volatile.Read(ref _generation);

    /// <summary>Its members.</summary>
    public int WorldSize => Volatile.Read(ref _worldSize);

    /// <summary>Steps skipped since this coordinator started.</summary>
    public long Skipped => Volatile.Read(ref _skipped);

    /// <summary>Workers that joined, or came back.</summary>
    public long Joined => Volatile.Read(ref _joined);

    /// <summary>Workers that were lost.</summary>
    public long Lost => Volatile.Read(ref _lost);

    /// <summary>Losses after which a step was completed.</summary>
    public long Recoveries => Volatile.Read(ref _recoveries);

    /// <summary>Checkpoints that were not written.</summary>
    public long CheckpointFailures => Volatile.Read(ref _checkpointFailures);

    /// <summary>How the run stands, in a sentence.</summary>
    public string Sentence => (Step, WorldSize) switch
    {
        (null, 0) => "It listens, and waits for workers.",
        (null, var members) => $"It listens, and {members} {(members == 1 ? "worker begins" : "workers begin")}.",
        ({ } step, 0) => $"It listens, after step {step.Step} of {Steps}, and waits for workers.",
        ({ } step, var members) => $"It listens, after step {step.Step} of {Steps}, with {members} worker{(members == 1 ? "" : "s")}.",
    };

    /// <summary>The run goes on where another coordinator left off.</summary>
    public void Restore(StepRecord? last, long steps)
    {
        Volatile.Write(ref _step, last);
        Steps = steps;
    }

    /// <summary>A generation began.</summary>
    public void Form(ulong generation, int members)
    {
        Volatile.Write(ref _generation, (long)generation);
        Volatile.Write(ref _worldSize, members);
    }

    /// <summary>A loss is made good.</summary>
    public void NoteRecovery() => Interlocked.Increment(ref _recoveries);

    /// <summary>Something was announced.</summary>
    public void Note(string happened)
    {
        switch (happened)
        {
            case "join":
                Interlocked.Increment(ref _joined);
                break;
            case "lost":
                Interlocked.Increment(ref _lost);
                break;
            case "checkpoint-failed":
                Interlocked.Increment(ref _checkpointFailures);
                break;
            case "waiting":
                Volatile.Write(ref _worldSize, 0);
                break;
        }
    }
}
