using System.Text.Json.Nodes;
using DistTrain.Records;
using DistTrain.Views;
using DistTrain.Worker.Health;

namespace DistTrain.Benching;

/// <summary>What the steps of a run took, by phase, in milliseconds; each the median over steps of the mean over workers.</summary>
/// <param name="Step">From one step to the next.</param>
/// <param name="Wait">For the descriptor of the step.</param>
/// <param name="Compute">Gradients of the worker's blocks.</param>
/// <param name="Exchange">What is left of the exchange when the own gradients are computed, the wait for slower workers included.</param>
/// <param name="Apply">The update.</param>
/// <param name="Steps">How many steps count.</param>
/// <param name="SamplesPerSecond">Samples of these steps over their time.</param>
/// <param name="Transports">By which transports gradients travelled.</param>
internal sealed record StepPhases(
    double Step, double Wait, double Compute, double Exchange, double Apply, int Steps, double SamplesPerSecond, string Transports)
{
    /// <summary>Share of the bytes sent that were on their way when the sender had computed its gradients; 0 where nothing is sent.</summary>
    public double Early { get; init; }

    /// <summary>Bytes of managed memory that a worker allocates for a step, in the mean over steps, of the worker that allocates most; null where none has said.</summary>
    public double? Allocated { get; init; }

    /// <summary>What no phase accounts for: reports, and the difference between a mean and the slowest worker.</summary>
    public double Other => Math.Max(0, Step - Wait - Compute - Exchange - Apply);

    /// <summary>Reads a run's folder.</summary>
    /// <param name="folder">The folder of a run that has ended.</param>
    /// <param name="uncounted">Steps at the beginning that do not count: they are the compiler's.</param>
    /// <exception cref="BenchException">There are no steps to count.</exception>
    public static StepPhases Read(string folder, int uncounted) => Of(
        Lines(Path.Combine(folder, "metrics.jsonl")), Lines(Path.Combine(folder, "workers.jsonl")), uncounted) with
    {
        Allocated = Directory.EnumerateFiles(Path.Combine(folder, "logs"), "worker-*").SelectMany(File.ReadLines).Max(StepAllocations.Read),
    };

    /// <summary>From the lines of the run's files.</summary>
    /// <param name="metrics">Of <c>metrics.jsonl</c>.</param>
    /// <param name="workers">Of <c>workers.jsonl</c>.</param>
    /// <param name="uncounted">Steps at the beginning that do not count.</param>
    public static StepPhases Of(IReadOnlyList<JsonNode> metrics, IReadOnlyList<JsonNode> workers, int uncounted)
    {
        var counted = metrics.Where(m => (long)m["step"]! > uncounted).ToList();
        var shares = workers.Where(w => (string)w["kind"]! == "train" && (long)w["step"]! > uncounted).GroupBy(w => (long)w["step"]!).ToList();
        if (counted.Count == 0 || shares.Count == 0)
        {
            throw new BenchException($"The run has {Words.Count(metrics.Count, "step")}, of which the first {uncounted} do not count: give more --steps.");
        }

        var before = metrics.Where(m => (long)m["step"]! <= uncounted).Select(m => (long)m["samples"]!).DefaultIfEmpty(0).Max();
        return new StepPhases(
            Median.Of(counted.Select(m => (double)m["stepMs"]!)).Value,
            Phase("waitMs"),
            Phase("computeMs"),
            Phase("exchangeMs"),
            Phase("applyMs"),
            counted.Count,
            (counted.Max(m => (long)m["samples"]!) - before) / counted.Sum(m => (double)m["stepMs"]!) * 1e3,
            string.Join(',', shares.SelectMany(s => s).Select(w => (string?)w["transports"] ?? "").Where(t => t.Length > 0).Distinct().Order(StringComparer.Ordinal)))
        {
            Early = Total("bytesEarly") is var early and > 0 ? early / Total("bytesSent") : 0,
        };

        double Total(string field) => shares.SelectMany(s => s).Sum(w => (double?)w[field] ?? 0);

        double Phase(string field) => Median.Of(shares.Select(step => step.Average(w => (double)w[field]!))).Value;
    }

    private static IReadOnlyList<JsonNode> Lines(string path) => LineFile<JsonNode>.Read(path, line => JsonNode.Parse(line)).Lines;
}
