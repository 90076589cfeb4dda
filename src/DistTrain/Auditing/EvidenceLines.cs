using System.Text.Json;
using DistTrain.Core.BatchScience;

namespace DistTrain.Auditing;

/// <summary>What an audit reads of a line of <c>metrics.jsonl</c>.</summary>
internal sealed record StepLine
{
    public required long Step { get; init; }

    public required long Epoch { get; init; }

    public required double Lr { get; init; }

    public required long GlobalBatch { get; init; }

    public required int MicroBatch { get; init; }

    public required long Samples { get; init; }

    public required ulong Generation { get; init; }

    public required string WeightsHash { get; init; }

    /// <summary>The moments of its gradient, where they are measured.</summary>
    public NoiseLine? Noise { get; init; }
}

/// <summary>The moments in a line of <c>metrics.jsonl</c>.</summary>
internal sealed record NoiseLine(double Trace, double Square)
{
    /// <summary>What decisions are taken from.</summary>
    /// <param name="samples">Samples of the step.</param>
    public GradientMoments Moments(long samples) => new(Trace, Square, samples);
}

/// <summary>What an audit reads of a line of <c>evaluations.jsonl</c>.</summary>
internal sealed record EvaluationLine
{
    public required long Step { get; init; }

    public required long Samples { get; init; }

    public required string WeightsHash { get; init; }
}

/// <summary>What an audit reads of a line of <c>workers.jsonl</c>.</summary>
internal sealed record WorkerLine
{
    public required ulong Operation { get; init; }

    public required long Step { get; init; }

    public required string Kind { get; init; }

    public required ulong Generation { get; init; }

    public required int Rank { get; init; }

    public required int Blocks { get; init; }

    /// <summary>Not known to a coordinator that had not handed it out itself.</summary>
    public ulong? Plan { get; init; }
}

/// <summary>A line of <c>plans.jsonl</c>.</summary>
internal sealed record PlanLine
{
    public required ulong Number { get; init; }

    public required ulong Generation { get; init; }

    /// <summary>The first operation that goes by it.</summary>
    public ulong Operation { get; init; }

    public required IReadOnlyList<PlanAssignment> Assignments { get; init; }
}

/// <summary>Who computes what of operations of so many blocks.</summary>
internal sealed record PlanAssignment
{
    public required int Blocks { get; init; }

    /// <summary>First and end of each rank's blocks.</summary>
    public required IReadOnlyList<int[]> Ranges { get; init; }
}

/// <summary>A line of <c>reissues.jsonl</c>.</summary>
internal sealed record ReissueLine
{
    public required long Step { get; init; }

    public required string Kind { get; init; }

    public required ulong Generation { get; init; }

    public required int Blocks { get; init; }

    public required IReadOnlyList<ReissueShare> Shares { get; init; }
}

/// <summary>What a rank contributes: first and end of blocks it holds, and of blocks it computes.</summary>
internal sealed record ReissueShare
{
    public required IReadOnlyList<int[]> Held { get; init; }

    public required IReadOnlyList<int[]> Computed { get; init; }
}

/// <summary>What an audit reads of a line of <c>events.jsonl</c>.</summary>
internal sealed record EventLine
{
    public required string Event { get; init; }

    public required ulong Generation { get; init; }
}

/// <summary>What an audit reads of <c>summary.json</c>.</summary>
internal sealed record SummaryText
{
    public required string Status { get; init; }

    public required long Steps { get; init; }

    public required long Samples { get; init; }

    public long? TrainingSamples { get; init; }

    public long? ValidationSamples { get; init; }

    public string? WeightsHash { get; init; }

    public string? WeightsSha256 { get; init; }
}

/// <summary>Reads one JSON object.</summary>
internal static class EvidenceJson
{
    private static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.Web) { RespectNullableAnnotations = true };

    /// <summary>An object of a known form.</summary>
    /// <exception cref="JsonException">It has another form.</exception>
    public static T? Parse<T>(string text) => JsonSerializer.Deserialize<T>(text, Options);
}
