using DistTrain.Core;
using DistTrain.Core.Options;
using DistTrain.Training.Tasks;

namespace DistTrain.Worker;

/// <summary>What a worker is started with.</summary>
public sealed record WorkerSettings
{
    /// <summary>The coordinator's address, such as <c>http://127.0.0.1:5400</c>.</summary>
    public required Uri Coordinator { get; init; }

    /// <summary>Address and port to listen on for peers; port 0 lets the system choose.</summary>
    public required string Listen { get; init; }

    /// <summary>Host, or host and port, at which peers reach this worker; null for its own address on the route to the coordinator.</summary>
    public string? Advertise { get; init; }

    /// <summary>The worker's number where a launcher gave one, else -1.</summary>
    public int Number { get; init; } = -1;

    /// <summary>A configuration to hold against the coordinator's; null to take whatever it sends.</summary>
    public RunOptions? Options { get; init; }

    /// <summary>Where this host keeps the data; null for what the configuration says.</summary>
    public string? DataPath { get; init; }

    /// <summary>The tasks this program knows.</summary>
    public required TaskCatalog Tasks { get; init; }
}

/// <summary>Runs a worker from start to end.</summary>
public static class WorkerHost
{
    /// <summary>Returns when the coordinator dismisses the worker, when it has failed, or when it is cancelled.</summary>
    public static Task<RunOutcome> RunAsync(WorkerSettings settings, TimeProvider time, CancellationToken cancellation) =>
        throw new NotSupportedException();
}
