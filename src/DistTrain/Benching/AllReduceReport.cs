using System.Globalization;
using System.Text.Json.Nodes;
using DistTrain.Core.Options;
using DistTrain.Views;
using DistTrain.Worker.Benching;

namespace DistTrain.Benching;

/// <summary>All-reduces of one size by one transport.</summary>
/// <param name="Transport">Its name.</param>
/// <param name="Workers">How many processes.</param>
/// <param name="Bytes">Size of the vector.</param>
/// <param name="Milliseconds">Of one, the slowest worker's.</param>
/// <param name="Fastest">The least of all rounds, in milliseconds.</param>
/// <param name="CpuSecondsPerGb">Processor time of all workers for a gigabyte that one of them sends.</param>
/// <param name="Allocated">Managed bytes that a worker allocates for one.</param>
internal sealed record AllReduceLine(
    string Transport, int Workers, long Bytes, Median Milliseconds, double Fastest, double CpuSecondsPerGb, double Allocated)
{
    /// <summary>Bytes of the vector by time, in GB/s.</summary>
    public double AlgorithmBandwidth => Bytes / Milliseconds.Value / 1e6;

    /// <summary>Bytes that every worker sends by time, in GB/s: what can be held against the hardware (nccl-tests, PERFORMANCE.md).</summary>
    public double BusBandwidth => AlgorithmBandwidth * Sent(Workers, 1);

    /// <summary>Bytes that a worker sends, and receives, in an all-reduce that wastes none.</summary>
    public static double Sent(int workers, long bytes) => 2.0 * (workers - 1) / workers * bytes;

    /// <summary>From rounds of so many operations.</summary>
    public static AllReduceLine Of(string transport, int workers, long bytes, int times, IReadOnlyList<BenchRun> rounds) => new(
        transport,
        workers,
        bytes,
        Median.Of(rounds.Select(r => r.Milliseconds / times)),
        rounds.Min(r => r.Milliseconds) / times,
        Median.Of(rounds.Select(r => r.CpuSeconds / times / (Sent(workers, bytes) / 1e9))).Value,
        Median.Of(rounds.Select(r => r.Allocated / times / workers)).Value);
}

/// <summary>What <c>bench allreduce</c> says: the table of nccl-tests, a line for each size and transport.</summary>
/// <param name="workers">How many processes.</param>
/// <param name="rounds">Of which the median counts.</param>
/// <param name="lines">What was measured.</param>
/// <param name="missing">Transports that are not to be had, and why.</param>
internal sealed class AllReduceReport(
    int workers, int rounds, IReadOnlyList<AllReduceLine> lines, IReadOnlyList<(string Transport, string Reason)> missing)
{
    /// <summary>Every line.</summary>
    public IReadOnlyList<AllReduceLine> Lines => lines;

    /// <summary>Writes it for people.</summary>
    public void Write(TextWriter output)
    {
        var table = new TextTable("size", "transport", "time, ms", "fastest, ms", "algbw, GB/s", "busbw, GB/s", "CPU, s/GB", "allocated, kB");
        foreach (var line in lines)
        {
            table.Add(
                ByteSize.Format(line.Bytes), line.Transport, Text("0.000", line.Milliseconds.Value), Text("0.000", line.Fastest), Text("0.00", line.AlgorithmBandwidth),
                Text("0.00", line.BusBandwidth), Text("0.00", line.CpuSecondsPerGb), Text("0.0", line.Allocated / 1e3));
        }

        table.Write(output);
        output.WriteLine();
        foreach (var (transport, reason) in missing)
        {
            output.WriteLine($"{transport} is not to be had here: {reason}.");
        }

        output.WriteLine($"{Words.Count(workers, "process", "es")} of this machine, medians of {Words.Count(rounds, "round")} in turns; the time is the slowest worker's. algbw is size / time, busbw 2 (W - 1) / W of it, what each worker");
        output.WriteLine($"sends. {ExchangeWorker.Memcpy} is every worker copying as many bytes in memory. CPU is of all workers for a GB that each sends, allocated is managed memory an all-reduce and worker.");
    }

    /// <summary>The same for programs.</summary>
    public JsonObject Json() => new()
    {
        ["workers"] = workers,
        ["rounds"] = rounds,
        ["results"] = new JsonArray([.. lines.Select(line => new JsonObject
        {
            ["transport"] = line.Transport,
            ["bytes"] = line.Bytes,
            ["timeMs"] = Round(line.Milliseconds.Value),
            ["lowMs"] = Round(line.Milliseconds.Low),
            ["highMs"] = Round(line.Milliseconds.High),
            ["fastestMs"] = Round(line.Fastest),
            ["algbw"] = Round(line.AlgorithmBandwidth),
            ["busbw"] = Round(line.BusBandwidth),
            ["cpuSecondsPerGB"] = Round(line.CpuSecondsPerGb),
            ["allocatedBytes"] = Math.Round(line.Allocated),
        })]),
        ["missing"] = new JsonArray([.. missing.Select(m => new JsonObject { ["transport"] = m.Transport, ["reason"] = m.Reason })]),
    };

    private static string Text(string format, double value) => value.ToString(format, CultureInfo.InvariantCulture);

    private static double Round(double value) => Math.Round(value, 4);
}
