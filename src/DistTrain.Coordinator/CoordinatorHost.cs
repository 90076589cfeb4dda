using DistTrain.Core;
using DistTrain.Core.Options;

namespace DistTrain.Coordinator;

/// <summary>What a coordinator is started with.</summary>
public sealed record CoordinatorSettings
{
    /// <summary>The run's configuration, valid.</summary>
    public required RunOptions Options { get; init; }

    /// <summary>The run's folder: new, or empty.</summary>
    public required string Folder { get; init; }

    /// <summary>Address and port to listen on; port 0 lets the system choose.</summary>
    public required string Listen { get; init; }

    /// <summary>Called once with the address workers reach, such as <c>http://127.0.0.1:5400</c>.</summary>
    public Action<string> OnListening { get; init; } = _ => { };
}

/// <summary>Runs a coordinator from start to end.</summary>
public static class CoordinatorHost
{
    /// <summary>Returns when the run is finished, has failed, or is cancelled.</summary>
    public static Task<RunOutcome> RunAsync(CoordinatorSettings settings, TimeProvider time, CancellationToken cancellation) =>
        throw new NotSupportedException();
}
