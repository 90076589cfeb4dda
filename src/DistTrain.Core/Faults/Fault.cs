namespace DistTrain.Core.Faults;

/// <summary>What can be done to a run on purpose.</summary>
public enum FaultKind
{
    /// <summary>A worker is ended by SIGKILL.</summary>
    Kill,

    /// <summary>A worker is stopped by SIGSTOP and continued later.</summary>
    Pause,

    /// <summary>A worker is asked to end by SIGTERM.</summary>
    Leave,

    /// <summary>One more worker is started.</summary>
    Join,

    /// <summary>The calls between two workers break once.</summary>
    CutLink,

    /// <summary>The coordinator is ended by SIGKILL.</summary>
    RestartCoordinator,

    /// <summary>Every worker is ended by SIGKILL at once.</summary>
    KillAll,

    /// <summary>The coordinator's disk has no room for some steps.</summary>
    FullDisk,
}

/// <summary>One disturbance. It comes to pass at its step or, where that is not possible then, at the first one after it at which it is; once.</summary>
public sealed record Fault
{
    /// <summary>Its place in the plan, from 1.</summary>
    public int Id { get; init; }

    /// <summary>What is done.</summary>
    public FaultKind Kind { get; init; }

    /// <summary>The step, from 1.</summary>
    public long Step { get; init; }

    /// <summary>The number of the worker it is done to, or of one end of the link; -1 where it is done to none.</summary>
    public int Worker { get; init; } = -1;

    /// <summary>The number of the worker at the other end of the link; -1 without a link.</summary>
    public int Peer { get; init; } = -1;

    /// <summary>After how many blocks of its own in that step, at the latest after its last; 0 is before the first.</summary>
    public int Block { get; init; }

    /// <summary>How long a pause lasts.</summary>
    public TimeSpan For { get; init; }

    /// <summary>For how many steps the disk is full.</summary>
    public int Steps { get; init; }

    /// <summary>It waits until this many workers take part.</summary>
    public int Members { get; init; }

    /// <summary>What it is called in a plan.</summary>
    public string Name => NameOf(Kind);

    /// <summary>What a kind is called in a plan.</summary>
    public static string NameOf(FaultKind kind)
    {
        var name = kind.ToString();
        return char.ToLowerInvariant(name[0]) + name[1..];
    }

    /// <summary>Whether its step has come, and as many workers take part as it waits for.</summary>
    /// <param name="point">How far the run has come at the process it is done to.</param>
    public bool IsNear(FaultPoint point) => point.Step >= Step && point.Members >= Members;

    /// <summary>Whether its block has come, too.</summary>
    /// <param name="point">How far the run has come at the process it is done to.</param>
    public bool IsDue(FaultPoint point) => IsNear(point) && (point.Blocks >= Block || point.IsLast);
}

/// <summary>A moment of a run at which a fault may come to pass.</summary>
/// <param name="Step">The step under way.</param>
/// <param name="Members">How many workers take part.</param>
/// <param name="Blocks">How many of the own blocks of that step are done.</param>
/// <param name="IsLast">Whether these are all of them.</param>
public readonly record struct FaultPoint(long Step, int Members, int Blocks, bool IsLast);
