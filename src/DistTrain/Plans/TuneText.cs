using System.Text.Json.Nodes;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Measuring;
using DistTrain.Views;

namespace DistTrain.Plans;

/// <summary>What was measured of micro-batches for people, for programs, and as a picture.</summary>
internal static class TuneText
{
    /// <summary>The table, and the choice.</summary>
    public static void Write(TextWriter output, string name, SizeMeasurement sizes)
    {
        output.WriteLine($"{name}: {sizes.Model.Parameters:N0} parameters on {sizes.Model.Device}, {Words.Count(sizes.Workers, "worker")} computing at a time");
        output.WriteLine();
        var table = new TextTable("micro-batch", "pass ms", "samples/s", "peak MB", "");
        foreach (var (cost, needs) in sizes.Costs.Zip(sizes.Needs))
        {
            table.Add($"{cost.Size:N0}", $"{cost.Time.TotalMilliseconds:N2}", $"{cost.SamplesPerSecond:N0}", $"{needs.Total / 1e6:N1}", Remark(sizes, cost.Size, needs));
        }

        table.Write(output, "  ");
        output.WriteLine();
        output.WriteLine("samples/s are those of one worker; peak is what a worker of the run is expected to need in all.");
        output.WriteLine($"A worker may take {ByteSize.Format(sizes.Limit)}, of which {MicroBatchSearch.UsableShare:P0} are used.");
        output.WriteLine(sizes.Choice.Size > 0 ? $"batch.micro: auto would choose {sizes.Choice.Sentence}" : sizes.Choice.Sentence);
    }

    /// <summary>One object.</summary>
    public static JsonObject Json(string name, SizeMeasurement sizes) => new()
    {
        ["name"] = name,
        ["parameters"] = sizes.Model.Parameters,
        ["device"] = sizes.Model.Device,
        ["workersAtATime"] = sizes.Workers,
        ["limitBytes"] = sizes.Limit,
        ["choice"] = sizes.Choice.Size,
        ["largestTriedThatFits"] = sizes.Choice.Most,
        ["reason"] = sizes.Choice.Sentence,
        ["sizes"] = new JsonArray([.. sizes.Costs.Zip(sizes.Needs).Select(s => new JsonObject
        {
            ["microBatch"] = s.First.Size,
            ["seconds"] = s.First.Time.TotalSeconds,
            ["samplesPerSecond"] = s.First.SamplesPerSecond,
            ["activationBytes"] = s.First.Activations,
            ["peakBytes"] = s.Second.Total,
        })]),
    };

    /// <summary>Writes the picture into a file, which it replaces.</summary>
    public static void Plot(string file, string name, SizeMeasurement sizes)
    {
        var measured = sizes.Costs.Zip(sizes.Needs).ToList();
        var (speed, memory) = (new PlotAxis("samples/s of a worker", AxisScale.FromZero), new PlotAxis("peak memory, MB", AxisScale.FromZero));
        var plot = new SvgPlot($"{name}: micro-batches on this machine", new PlotAxis("samples of a micro-batch", AxisScale.Doubling), speed, memory)
            .Points(speed.Title, 0, measured.Select(m => ((double)m.First.Size, m.First.SamplesPerSecond)), joined: true)
            .Points(memory.Title, 1, measured.Select(m => ((double)m.First.Size, m.Second.Total / 1e6)), joined: true, onRight: true);

        if (sizes.Choice.Size > 0)
        {
            plot.Mark(sizes.Choice.Size, "knee");
        }

        // A limit far above everything would leave nothing else to see.
        if (sizes.Limit < 2 * sizes.Needs.Max(n => n.Total))
        {
            plot.Limit(sizes.Limit / 1e6, "limit");
        }

        plot.Write(file);
    }

    private static string Remark(SizeMeasurement sizes, int size, MemoryModel needs) =>
        size == sizes.Choice.Size ? "<- the knee: auto's choice"
        : needs.Total > MicroBatchSearch.UsableShare * sizes.Limit ? "over what may be used"
        : size == sizes.Choice.Most ? "the largest that was measured and fits"
        : "";
}
