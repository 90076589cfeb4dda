using System.Globalization;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Sweeping;

namespace DistTrain.Cli.Tests.Sweeping;

/// <summary>The folder of a sweep whose runs were not trained but written: they follow the law S(B) = 20 (1 + 100 / B), each at its best rate.</summary>
internal sealed class SweptFolder : IDisposable
{
    public const long Samples = 20_000;
    public const long Every = 500;
    private readonly TempFolder _folder = new();

    public string Path => _folder["sweep"];

    public SweepSettings Settings(IReadOnlyList<SweepCell> cells, double? target = null) => new()
    {
        Options = new RunOptions
        {
            Name = "toy",
            Task = "toy",
            Model = new OptionSection("model", new Dictionary<string, string> { ["name"] = "m" }),
            Data = new OptionSection("data", new Dictionary<string, string> { ["name"] = "numbers" }),
            Batch = new BatchOptions { Global = 64 },
            Optimizer = new OptimizerOptions { LearningRate = 0.1 },
            Schedule = new ScheduleOptions { Name = "cosine", WarmupSteps = 10 },
            Stop = new StopOptions { Epochs = 5 },
        },
        Cells = cells,
        Target = target,
        Samples = Samples,
        Parallel = 2,
        Folder = Path,
        TrainingSamples = 1000,
        ValidationSamples = 300,
    };

    /// <summary>Runs of three rates for each batch: half and twice the right one take half as many steps more.</summary>
    public static IReadOnlyList<SweepCell> Cells(params long[] batches) => Cells(1, batches);

    /// <summary>The same with several seeds.</summary>
    public static IReadOnlyList<SweepCell> Cells(int seeds, long[] batches) => SweepPlan.Cells([new("sgd", 0.1)], batches, [new(0.5, true), new(1, true), new(2, true)], 64, seeds);

    /// <summary>The steps that a run takes to a loss of 0.1, by the law; with the second seed a fifth more.</summary>
    public static double Steps(SweepCell cell) => 20 * (1 + (0.21 * cell.Seed)) * (1 + (100.0 / cell.Batch)) * (Math.Abs((cell.Rate * 64 / cell.Batch / 0.1) - 1) < 0.01 ? 1 : 1.5);

    /// <summary>Writes a run: its loss falls as a power of the steps, to 0.1 at that of the law.</summary>
    /// <param name="cell">The run.</param>
    /// <param name="change">Changes the lines of its steps.</param>
    /// <param name="losses">The validation loss of all its evaluations in place of that.</param>
    /// <param name="startLoss">The loss of its first step in place of that.</param>
    public void Write(SweepCell cell, Func<string, string>? change = null, string? losses = null, double? startLoss = null)
    {
        change ??= text => text;
        var folder = System.IO.Path.Combine(Path, SweepFolder.Cells, cell.Name);
        Directory.CreateDirectory(System.IO.Path.Combine(folder, "journal"));
        File.WriteAllText(System.IO.Path.Combine(folder, "journal", "journal.jsonl"), "");
        var (metrics, evaluations) = (new StringWriter(CultureInfo.InvariantCulture), new StringWriter(CultureInfo.InvariantCulture));
        for (var step = 1L; (step - 1) * cell.Batch < Samples; step++)
        {
            var (samples, loss) = (step * cell.Batch, 0.1 * Steps(cell) / step);
            metrics.Write($"{{\"step\":{step},\"loss\":{(step == 1 ? startLoss : null) ?? loss / 2:R},\"globalBatch\":{cell.Batch},\"samples\":{samples},\"skipped\":false,\"stepMs\":10}}\n");
            if (samples / Every > (samples - cell.Batch) / Every)
            {
                evaluations.Write($"{{\"step\":{step},\"samples\":300,\"loss\":{losses ?? loss.ToString("R", CultureInfo.InvariantCulture)},\"metrics\":{{\"accuracy\":0.5}}}}\n");
            }
        }

        File.WriteAllText(System.IO.Path.Combine(folder, "metrics.jsonl"), change(metrics.ToString()));
        File.WriteAllText(System.IO.Path.Combine(folder, "evaluations.jsonl"), evaluations.ToString());
        File.WriteAllText(
            System.IO.Path.Combine(folder, "summary.json"),
            $"{{\"status\":\"completed\",\"samples\":{Samples},\"wallSeconds\":2.5,\"samplesPerSecond\":8000,\"peakRssBytes\":{{\"worker\":{200_000_000 + cell.Batch}}}}}");
    }

    public CellResult Read(SweepCell cell) => CellResult.Read(System.IO.Path.Combine(Path, SweepFolder.Cells, cell.Name), cell);

    public void Dispose() => _folder.Dispose();
}
