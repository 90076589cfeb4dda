using System.Diagnostics;

namespace DistTrain.Benchmarks;

/// <summary>How the processes that are measured are started.</summary>
internal static class Peers
{
    /// <summary>Debian's interpreter, which has python3-torch; the first one on the path may be another.</summary>
    private static readonly string Python = Environment.GetEnvironmentVariable("DISTTRAIN_PYTHON") ?? "/usr/bin/python3";

    /// <summary>One of the scripts in <c>peers/</c>.</summary>
    public static IEnumerable<ProcessStartInfo> Scripts(string name, int world, params string[] more) => Enumerable.Range(0, world)
        .Select(rank => new ProcessStartInfo(Python, [Path.Combine(AppContext.BaseDirectory, "peers", name), $"{rank}", $"{world}", .. more]));

    /// <summary>This program again, for each rank.</summary>
    public static IEnumerable<ProcessStartInfo> Workers(string verb, int world) => Enumerable.Range(0, world).Select(rank => Worker(verb, [$"{rank}", $"{world}"]));

    /// <summary>This program again.</summary>
    public static ProcessStartInfo Worker(string verb, IEnumerable<string> arguments) => new("dotnet", [typeof(Peers).Assembly.Location, verb, .. arguments]);
}
