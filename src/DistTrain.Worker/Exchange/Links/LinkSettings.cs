namespace DistTrain.Worker.Exchange.Links;

/// <summary>By which ways a worker reaches others, and is reached.</summary>
internal sealed record LinkSettings
{
    /// <summary>gRPC and nothing else.</summary>
    public static LinkSettings GrpcOnly { get; } = new();

    /// <summary>What it uses beside gRPC, best first.</summary>
    public IReadOnlyList<string> Transports { get; init; } = [];

    /// <summary>The name of its Unix-domain socket; null where it has none.</summary>
    public string? Socket { get; init; }

    /// <summary>Where shared memory is.</summary>
    public string Folder { get; init; } = SharedFolder.Standard;
}
