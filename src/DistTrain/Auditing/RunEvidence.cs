using DistTrain.Core.Journals;
using DistTrain.Core.Options;
using DistTrain.Records;

namespace DistTrain.Auditing;

/// <summary>Everything a run's folder says, as it was read; nothing in it has been held against anything.</summary>
internal sealed record RunEvidence
{
    /// <summary>The configuration; null where it cannot be read.</summary>
    public RunOptions? Options { get; init; }

    /// <summary>What is wrong with the configuration.</summary>
    public IReadOnlyList<string> ConfigurationProblems { get; init; } = [];

    /// <summary>Names of files that should be there and are not, or cannot be read, with the reason.</summary>
    public IReadOnlyList<string> Missing { get; init; } = [];

    public LineFile<StepLine> Steps { get; init; } = Empty<StepLine>("metrics.jsonl");

    public LineFile<EvaluationLine> Evaluations { get; init; } = Empty<EvaluationLine>("evaluations.jsonl");

    public LineFile<WorkerLine> Workers { get; init; } = Empty<WorkerLine>("workers.jsonl");

    public LineFile<PlanLine> Plans { get; init; } = Empty<PlanLine>("plans.jsonl");

    public LineFile<ReissueLine> Reissues { get; init; } = Empty<ReissueLine>("reissues.jsonl");

    public LineFile<EventLine> Events { get; init; } = Empty<EventLine>("events.jsonl");

    /// <summary>The summary; null where there is none.</summary>
    public SummaryText? Summary { get; init; }

    /// <summary>Why there is a summary that cannot be read; null where it can, or there is none.</summary>
    public string? SummaryProblem { get; init; }

    /// <summary>The checkpoints by step.</summary>
    public IReadOnlyList<CheckpointEvidence> Checkpoints { get; init; } = [];

    /// <summary>Names of what was being written when its writer was killed.</summary>
    public IReadOnlyList<string> Leftovers { get; init; } = [];

    /// <summary>The journal; null where there is none.</summary>
    public JournalContent? Journal { get; init; }

    private static LineFile<T> Empty<T>(string name)
        where T : class => new(name, [], null, null);
}

/// <summary>A checkpoint as it lies on the disk.</summary>
internal sealed record CheckpointEvidence
{
    /// <summary>The name of its folder, such as <c>checkpoints/step-00000010</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The step that the folder's name says.</summary>
    public required long Step { get; init; }

    /// <summary>The manifest; null where it is missing or damaged.</summary>
    public ManifestText? Manifest { get; init; }

    /// <summary>The files that the manifest names, as they are.</summary>
    public IReadOnlyList<CheckpointFile> Files { get; init; } = [];
}

/// <summary>What an audit reads of a manifest.</summary>
internal sealed record ManifestText
{
    public required long Step { get; init; }

    public required string WeightsHash { get; init; }

    public required ulong Seed { get; init; }

    public required long Epoch { get; init; }

    public required long Position { get; init; }

    public required ManifestGeometry Geometry { get; init; }

    public required IReadOnlyList<ManifestFile> Files { get; init; }
}

/// <summary>How the run cuts up its steps.</summary>
internal sealed record ManifestGeometry(long Global, int Micro, int Blocks);

/// <summary>What a manifest says of a file.</summary>
internal sealed record ManifestFile(string Name, long Bytes, string DataSha256);

/// <summary>A file of a checkpoint.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Bytes">Its length; null where it is missing.</param>
/// <param name="DataSha256">SHA-256 of what follows its head; null where it has no head.</param>
/// <param name="TensorBytes">Where the last tensor of its head ends, counted from the end of the head.</param>
/// <param name="DataBytes">Bytes behind its head.</param>
internal sealed record CheckpointFile(string Name, long? Bytes, string? DataSha256, long TensorBytes, long DataBytes);
