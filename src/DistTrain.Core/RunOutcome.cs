namespace DistTrain.Core;

/// <summary>How a coordinator or a worker ended.</summary>
/// <param name="Success">Whether it did what it was asked to: completed the run, or stopped in order.</param>
/// <param name="Sentence">Why it ended, in one sentence for the user.</param>
public sealed record RunOutcome(bool Success, string Sentence)
{
    /// <summary>How a run ended; of a run that did not fail, whether there is more to do.</summary>
    public RunStatus Status { get; init; } = Success ? RunStatus.Completed : RunStatus.Failed;

    /// <summary>Of a failure, whether another start would end the same way.</summary>
    public bool IsFinal { get; init; }

    /// <summary>Of a worker, whether the coordinator refused it.</summary>
    public bool IsRefusal { get; init; }
}

/// <summary>How a run ended.</summary>
public enum RunStatus
{
    /// <summary>All its steps are done.</summary>
    Completed,

    /// <summary>It was asked to end, and can be resumed.</summary>
    Stopped,

    /// <summary>It cannot go on.</summary>
    Failed,
}
