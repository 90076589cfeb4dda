namespace DistTrain.Worker.Exchange.Links;

/// <summary>The ways from one worker to another, by their names in options, messages and records.</summary>
internal static class Transports
{
    /// <summary>Memory that both processes have mapped, on one host.</summary>
    public const string SharedMemory = "shared-memory";

    /// <summary>Frames on a TCP connection.</summary>
    public const string Tcp = "tcp";

    /// <summary>A gRPC stream: passes proxies, and is always there.</summary>
    public const string Grpc = "grpc";

    /// <summary>Those to be tried beside gRPC, best first.</summary>
    /// <param name="option">The value of <c>transport</c>.</param>
    public static IReadOnlyList<string> Of(string option) => option switch
    {
        "auto" => [SharedMemory, Tcp],
        SharedMemory or Tcp => [option],
        _ => [],
    };
}
