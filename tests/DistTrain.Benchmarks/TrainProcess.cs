using System.Diagnostics;
using DistTrain.Launching;

namespace DistTrain.Benchmarks;

/// <summary><c>disttrain train</c> beside this process. It lives by its standard input, as its own processes do: none is left when this process ends, however it ends.</summary>
internal static class TrainProcess
{
    /// <summary>How long it may take to end in order.</summary>
    private const string Grace = "10s";

    /// <summary>Starts it.</summary>
    /// <param name="recipe">What is trained.</param>
    /// <param name="folder">The run's folder.</param>
    /// <param name="sets">The values of <c>--set</c>.</param>
    public static Process Start(string recipe, string folder, params IEnumerable<string> sets) => Process.Start(new ProcessStartInfo(
        "dotnet", [Path.Combine(AppContext.BaseDirectory, "disttrain.dll"), "train", recipe, "--out", folder, "--json", .. sets.SelectMany(s => new[] { "--set", s })])
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
        Environment = { [Supervision.Variable] = Grace },
    })!;
}
