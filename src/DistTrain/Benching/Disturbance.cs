using DistTrain.Core.Faults;
using DistTrain.Protocol.Faults;

namespace DistTrain.Benching;

/// <summary>A fault that came to pass, and how long it held the run up.</summary>
/// <param name="Fault">The fault.</param>
/// <param name="Notice">When it came to pass, and in which step.</param>
/// <param name="ElapsedMs">From then on until the next step was completed; for a coordinator, from when it listened again.</param>
/// <param name="StepMs">What an undisturbed step takes.</param>
/// <param name="RecomputedMs">What computing the lost blocks again took.</param>
internal sealed record Disturbance(Fault Fault, FaultNotice Notice, double ElapsedMs, double StepMs, double RecomputedMs)
{
    /// <summary>What the disturbance itself cost.</summary>
    public double CostMs => Math.Max(0, ElapsedMs - StepMs - RecomputedMs);
}

/// <summary>What may be made of a run in which faults came to pass. A step, a notice and the coordinator's return have their times from the same clock.</summary>
internal sealed record RecoveryLog
{
    /// <summary>What came to pass, in order.</summary>
    public required IReadOnlyList<(Fault Fault, FaultNotice Notice)> Faults { get; init; }

    /// <summary>Every step as it was completed.</summary>
    public required IReadOnlyList<CompletedStep> Steps { get; init; }

    /// <summary>When the coordinator listened again.</summary>
    public required IReadOnlyList<DateTimeOffset> Returns { get; init; }

    /// <summary>What the slowest member computed for in a step when it was completed, in milliseconds.</summary>
    public required IReadOnlyDictionary<long, double> ComputeMs { get; init; }

    /// <summary>What an undisturbed step takes: the median of all, most of which are undisturbed.</summary>
    public double StepMs => Quantile([.. Steps.Select(s => s.Milliseconds)], 0.5);

    /// <summary>What became of a fault; null where no step was completed after it yet.</summary>
    public Disturbance? After(Fault fault, FaultNotice notice)
    {
        var isCoordinator = fault.Kind == FaultKind.RestartCoordinator;
        var begin = notice.Time;
        if (isCoordinator)
        {
            begin = Returns.FirstOrDefault(r => r > notice.Time);
            if (begin == default)
            {
                return null;
            }
        }

        // Steps before it may still be on their way when a worker dies.
        return Steps.FirstOrDefault(s => s.Step >= notice.Step && s.Time > begin) is not { } next
            ? null
            : new Disturbance(
                fault, notice, (next.Time - begin).TotalMilliseconds, StepMs, isCoordinator ? 0 : ComputeMs.GetValueOrDefault(next.Step));
    }

    /// <summary>A quantile by the nearest rank; NaN of nothing.</summary>
    public static double Quantile(IReadOnlyList<double> values, double share) =>
        values.Count == 0 ? double.NaN : values.Order().ElementAt(Math.Max(0, (int)Math.Ceiling(share * values.Count) - 1));
}

/// <summary>A step that was completed.</summary>
/// <param name="Step">The step.</param>
/// <param name="Time">When whoever watches learned of it.</param>
/// <param name="Milliseconds">What it took, by its own line.</param>
internal sealed record CompletedStep(long Step, DateTimeOffset Time, double Milliseconds);
