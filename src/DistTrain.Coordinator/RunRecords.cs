using System.Text.Json.Serialization;
using DistTrain.Core.Runs;

namespace DistTrain.Coordinator;

/// <summary>A line of <c>metrics.jsonl</c>.</summary>
/// <param name="Step">The step, from 1.</param>
/// <param name="Epoch">The pass over the data it takes its samples from, from 0.</param>
/// <param name="Loss">Loss per sample (or token); null where it is not finite.</param>
/// <param name="Lr">Learning rate.</param>
/// <param name="GlobalBatch">Samples of this step.</param>
/// <param name="MicroBatch">Most samples of a micro-batch.</param>
/// <param name="Samples">Samples of the run up to and with this step.</param>
/// <param name="WorldSize">Workers that took part.</param>
/// <param name="Generation">The membership it was completed in.</param>
/// <param name="GradNorm">Norm of the mean gradient before clipping; null where it is not finite.</param>
/// <param name="Skipped">Whether the weights were left as they were.</param>
/// <param name="WeightsHash">Hash of the weights after it.</param>
/// <param name="StepMs">Milliseconds of the slowest worker, from descriptor to descriptor.</param>
/// <param name="SamplesPerSecond">Samples of this step over that time; null where no time was measured.</param>
internal sealed record StepRecord(
    long Step, long Epoch, double? Loss, double Lr, long GlobalBatch, int MicroBatch, long Samples, int WorldSize, ulong Generation, double? GradNorm,
    bool Skipped, string WeightsHash, double StepMs, double? SamplesPerSecond)
{
    /// <summary>The noise scale in samples, every few steps where it is measured and resolved.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? NoiseScale { get; init; }

    /// <summary>What it is estimated from, where it is measured.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public NoiseRecord? Noise { get; init; }

    /// <summary>The same in the space in which the update rule scales gradients, where it does.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public NoiseRecord? PreconditionedNoise { get; init; }

    /// <summary>How many steps of the reference batch it was worth, where the rate follows that.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Gain { get; init; }

    /// <summary>What those who watch are told of the noise scale; in no line.</summary>
    [JsonIgnore]
    public NoiseReport? NoiseReport { get; init; }
}

/// <summary>A line of <c>evaluations.jsonl</c>.</summary>
/// <param name="Step">The step after which was evaluated.</param>
/// <param name="Epoch">Completed passes over the training data.</param>
/// <param name="Samples">Samples evaluated.</param>
/// <param name="Loss">Loss per sample (or token).</param>
/// <param name="Metrics">Each metric per sample (or token); null where it is not finite.</param>
/// <param name="WeightsHash">Hash of the weights evaluated.</param>
internal sealed record EvaluationRecord(
    long Step, long Epoch, long Samples, double? Loss, IReadOnlyDictionary<string, double?> Metrics, string WeightsHash)
{
    /// <summary>How often samples of each class, a row, were taken for each, a column; the names are in <c>summary.json</c>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<IReadOnlyList<long>>? Confusion { get; init; }
}

/// <summary>A line of <c>events.jsonl</c>, as far as a coordinator that goes on with the run reads it.</summary>
/// <param name="Time">When.</param>
/// <param name="Event">What.</param>
/// <param name="Generation">In which generation.</param>
/// <param name="Sentence">The same for people.</param>
/// <param name="Step">Of a recovery: the first step it completed.</param>
/// <param name="Milliseconds">Of a recovery: from when the loss was noticed.</param>
/// <param name="Kind">Of a recovery: how the loss was noticed.</param>
internal sealed record EventRecord(
    DateTimeOffset Time, string Event, ulong Generation, string Sentence, long Step = 0, double Milliseconds = 0, string Kind = "");

/// <summary><c>summary.json</c>.</summary>
internal sealed record RunSummary
{
    public required string Status { get; init; }

    public required string Reason { get; init; }

    public long Steps { get; init; }

    public long Epochs { get; init; }

    public long Samples { get; init; }

    /// <summary>Samples of one epoch; null where no worker came.</summary>
    public long? TrainingSamples { get; init; }

    /// <summary>Samples of an evaluation.</summary>
    public long? ValidationSamples { get; init; }

    /// <summary>Most samples of a micro-batch as the run began, also where its workers had to find that; null where they had not yet.</summary>
    public int? MicroBatch { get; init; }

    public double? FinalLoss { get; init; }

    public IReadOnlyDictionary<string, double?>? Validation { get; init; }

    /// <summary>How often each class was taken for each in the last evaluation, where the task has classes.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ConfusionMatrix? Confusion { get; init; }

    public string? WeightsHash { get; init; }

    public string? WeightsSha256 { get; init; }

    public double WallSeconds { get; init; }

    public double SamplesPerSecond { get; init; }

    /// <summary>The noise scale at the end, where it is measured.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public NoiseReport? NoiseScale { get; init; }

    /// <summary>From where on micro-batches have another size than at the start.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<MicroChange>? MicroBatches { get; init; }

    public required WorkerCounts Workers { get; init; }

    public ulong Generations { get; init; }

    public IReadOnlyList<Recovery> Recoveries { get; init; } = [];

    /// <summary>What went wrong without ending the run.</summary>
    public IReadOnlyList<Failure> Failures { get; init; } = [];

    public required PeakMemory PeakRssBytes { get; init; }

    public IReadOnlyList<string> Hosts { get; init; } = [];

    /// <summary>False where hosts took part that compute other bits than the first, or never the same twice.</summary>
    public bool PromisesSameBits { get; init; }

    public required string Version { get; init; }

    /// <param name="Kind"><c>train</c>, or <c>evaluate</c> for the evaluation after the step.</param>
    /// <param name="Step">The step, from 1.</param>
    /// <param name="Micro">Most samples of a micro-batch.</param>
    internal sealed record MicroChange(string Kind, long Step, int Micro);

    /// <param name="Generation">The generation that a loss began.</param>
    /// <param name="Step">The first step it completed.</param>
    /// <param name="Milliseconds">From when the loss was noticed until that step was completed by all.</param>
    /// <param name="Kind">How the loss was noticed.</param>
    internal sealed record Recovery(ulong Generation, long Step, double Milliseconds, string Kind);

    /// <param name="Time">When.</param>
    /// <param name="What">The event's name: <c>checkpoint-failed</c>, <c>disk-full</c>, <c>lines-lost</c>.</param>
    /// <param name="Sentence">What happened, where, and what to do.</param>
    internal sealed record Failure(DateTimeOffset Time, string What, string Sentence);

    internal sealed record WorkerCounts(int Min, int Max, int Final);

    internal sealed record PeakMemory(long Coordinator, long Worker);
}
