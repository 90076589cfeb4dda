using DistTrain.Core.BatchScience;

namespace DistTrain.Core.Membership;

/// <summary>What a worker says of an operation it has completed.</summary>
public sealed record OperationReport
{
    /// <summary>The generation it was completed in.</summary>
    public required ulong Generation { get; init; }

    /// <summary>The operation's number.</summary>
    public required ulong Operation { get; init; }

    /// <summary>Hash of the weights after it.</summary>
    public required string WeightsHash { get; init; }

    /// <summary>Whether the step left the weights as they were.</summary>
    public bool Skipped { get; init; }

    /// <summary>Sum of the losses over the operation's samples (or tokens).</summary>
    public double LossSum { get; init; }

    /// <summary>Samples (or tokens).</summary>
    public long Weight { get; init; }

    /// <summary>Sums of an evaluation's metrics.</summary>
    public IReadOnlyList<double> MetricSums { get; init; } = [];

    /// <summary>What the noise scale is estimated from; null where it is not measured.</summary>
    public GradientSums? Gradients { get; init; }

    /// <summary>The same in the space in which the update rule scales gradients.</summary>
    public GradientSums? Preconditioned { get; init; }

    /// <summary>Norm of the mean gradient before clipping.</summary>
    public double GradientNorm { get; init; }

    /// <summary>Seconds spent computing own blocks.</summary>
    public double ComputeSeconds { get; init; }

    /// <summary>Seconds waited for the sum after the last own block.</summary>
    public double ExchangeSeconds { get; init; }

    /// <summary>Seconds waited for the descriptor.</summary>
    public double WaitSeconds { get; init; }

    /// <summary>Seconds spent updating.</summary>
    public double ApplySeconds { get; init; }

    /// <summary>Blocks computed.</summary>
    public int Blocks { get; init; }

    /// <summary>Gradient bytes sent to peers.</summary>
    public long BytesSent { get; init; }

    /// <summary>Those of them that were on their way when the own blocks were computed.</summary>
    public long BytesEarly { get; init; }

    /// <summary>Largest resident memory so far, in bytes.</summary>
    public long ResidentBytes { get; init; }

    /// <summary>By which transports its gradients went out, each once, with commas between; empty where they went to nobody.</summary>
    public string Transports { get; init; } = "";
}
