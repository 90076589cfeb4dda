using DistTrain.Core.Faults;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Protocol.Faults;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Launching;

/// <summary>What a local run is launched with.</summary>
internal sealed record LocalRunSettings
{
    /// <summary>How often a process is started again in a row without a step completed in between, unless somebody says otherwise.</summary>
    public const int StandardRestarts = 3;

    /// <summary>The run's configuration.</summary>
    public required RunOptions Options { get; init; }

    /// <summary>The run's folder, taken and with its <c>config.yaml</c>.</summary>
    public required string Folder { get; init; }

    /// <summary>Whether the folder holds a run to go on with.</summary>
    public bool Resume { get; init; }

    /// <summary>The step of the checkpoint to go back to; null for the newest.</summary>
    public long? Checkpoint { get; init; }

    /// <summary>The coordinator's port; 0 lets the system choose.</summary>
    public int Port { get; init; }

    /// <summary>How the processes are started.</summary>
    public required ChildCommand Program { get; init; }

    /// <summary>The launcher's environment.</summary>
    public required IReadOnlyDictionary<string, string> Environment { get; init; }

    /// <summary>How often a process that a signal ended is started again in a row without a step completed in between.</summary>
    public int MaxRestarts { get; init; } = StandardRestarts;

    /// <summary>What is done to the run on purpose; null for nothing.</summary>
    public FaultPlan? Faults { get; init; }

    /// <summary>Told of every fault that comes to pass.</summary>
    public Action<Fault, FaultNotice> OnFault { get; init; } = (_, _) => { };

    /// <summary>How often the system has killed a process of this control group for want of memory so far.</summary>
    public Func<long> MemoryKills { get; init; } = Launching.MemoryKills.Count;

    /// <summary>How the run is followed.</summary>
    public Func<Uri, CancellationToken, IAsyncEnumerable<V1.RunEvent>> Watch { get; init; } = RunWatch.FollowAsync;

    /// <summary>How long the coordinator may take to end a run that has lost workers it cannot do without; null for what follows from the options.</summary>
    public TimeSpan? VerdictDeadline { get; init; }

    /// <summary>How long processes may take to end after they are asked to, and once more after they are killed; null for what follows from the options.</summary>
    public TimeSpan? EndDeadline { get; init; }

    /// <summary>The time limits that follow from the options.</summary>
    public Timeouts Timeouts => new(Options.FailureDetection);
}

/// <summary>How a local run ended.</summary>
/// <param name="Success">Whether it was completed, or stopped in order.</param>
/// <param name="Sentence">Why it ended, for the user.</param>
/// <param name="SummaryJson">The text of its summary, where it got that far.</param>
internal sealed record LocalRunResult(bool Success, string Sentence, string? SummaryJson)
{
    /// <summary>One that was stopped in order before a coordinator took the run on.</summary>
    public static LocalRunResult Stopped { get; } = new(true, "The run was stopped before it began.", null) { HasBegun = false, WasStopped = true };

    /// <summary>Whether a coordinator took the run on.</summary>
    public bool HasBegun { get; init; } = true;

    /// <summary>Whether it was stopped in order before there was anything to sum up.</summary>
    public bool WasStopped { get; init; }
}
