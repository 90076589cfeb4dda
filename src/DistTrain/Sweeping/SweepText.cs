using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using DistTrain.Core.BatchScience;
using DistTrain.Views;

namespace DistTrain.Sweeping;

/// <summary>A sweep's report for a terminal, a spreadsheet and a program.</summary>
internal static class SweepText
{
    /// <summary>The heads of the table of best runs.</summary>
    public static readonly string[] Heads =
        ["batch", "rate", "steps", "samples", "seconds", "final validation loss", "final training loss", "gap", "samples/s", "peak MB", ""];

    /// <summary>Writes it for people.</summary>
    public static void Write(TextWriter output, SweepReport report)
    {
        output.WriteLine(report.Frame);
        foreach (var optimizer in report.Analysis.Optimizers)
        {
            output.WriteLine();
            output.WriteLine($"{optimizer.Optimizer}, the best rate of each batch:");
            var table = new TextTable(Heads);
            optimizer.Batches.ToList().ForEach(b => table.Add(BestRow(report, b)));
            table.Write(output, "  ");
            output.WriteLine(SweepReport.Sentence(optimizer));
        }

        output.WriteLine();
        report.Advice().ToList().ForEach(output.WriteLine);
        output.WriteLine($"Report, pictures and tables: {Path.Combine(report.Settings.Folder, SweepFiles.Page)}");
    }

    /// <summary>The row of a batch in the table of best rates, which has none where all diverged.</summary>
    public static string[] BestRow(SweepReport report, BatchResult batch, string whole = "0") =>
        Row(report, batch, whole) is var row && batch.HasDiverged ? [row[0], "-", .. row[2..^1], "every rate diverged"] : row;

    /// <summary>The cells of a batch's row; of several seeds, their means.</summary>
    /// <param name="report">The report.</param>
    /// <param name="batch">The batch, and the run that stands for it.</param>
    /// <param name="whole">How whole numbers are written.</param>
    public static string[] Row(SweepReport report, BatchResult batch, string whole = "0")
    {
        var results = batch.Runs.Select(report.Of).ToList();
        return
        [
            Whole(batch.Batch, whole), Words.Number(batch.Best.Cell.Rate), Whole(batch.Reading?.Steps, whole), Whole(batch.Reading?.Samples, whole),
            report.SecondsTo(batch) is { } seconds ? seconds.ToString("0.0") : "-", Number(batch.Runs.Average(r => r.FinalLoss)), Number(batch.Runs.Average(r => r.TrainingLoss)), Number(batch.Runs.Average(r => r.Gap)),
            Whole(results.Average(r => r.SamplesPerSecond), whole), Whole(results.Max(r => r.PeakBytes) / 1e6, whole), Remark(batch),
        ];
    }

    /// <summary>A line for each run.</summary>
    public static string Csv(SweepReport report)
    {
        var metrics = report.Results.SelectMany(r => r.Metrics.Keys).Distinct().Order(StringComparer.Ordinal).ToList();
        var text = new StringBuilder("optimizer,batch,rate,status,steps,samples,validationLoss,bestValidationLoss,trainingLoss,gap,stepsToTarget,samplesToTarget,secondsToTarget,wallSeconds,samplesPerSecond,seed,peakRssBytes");
        metrics.ForEach(m => text.Append(',').Append(m));
        text.Append('\n');
        foreach (var result in report.Results)
        {
            var json = Json(report, result);
            text.AppendJoin(',', json.Where(f => f.Key is not ("metrics" or "folder")).Select(f => Plain(f.Value)));
            metrics.ForEach(m => text.Append(',').Append(Plain(json["metrics"]![m])));
            text.Append('\n');
        }

        return text.ToString();
    }

    /// <summary>Everything, for programs.</summary>
    public static JsonObject Json(SweepReport report) => new()
    {
        ["name"] = report.Settings.Options.Name,
        ["folder"] = report.Settings.Folder,
        ["target"] = Finite(report.Analysis.Target),
        ["startLoss"] = Finite(report.Analysis.StartLoss),
        ["targetIsGiven"] = report.Analysis.IsGiven,
        ["samples"] = report.Settings.Samples,
        ["evaluateEverySamples"] = report.Settings.EvaluateEvery,
        ["seeds"] = report.Settings.Seeds,
        ["parallel"] = report.Settings.Parallel,
        ["optimizers"] = new JsonArray([.. report.Analysis.Optimizers.Select(o => new JsonObject
        {
            ["optimizer"] = o.Optimizer,
            ["criticalBatch"] = Json(o.Fit, f => f.CriticalBatch),
            ["leastSteps"] = Json(o.Fit, f => f.LeastSteps),
            ["leastSamples"] = Json(o.Fit, f => f.LeastSamples),
            ["scatter"] = Finite(o.Fit?.Scatter),
            ["sentence"] = SweepReport.Sentence(o),
            ["batches"] = new JsonArray([.. o.Batches.Select(b => Json(report, b))]),
        })]),
        ["advice"] = new JsonArray([.. report.Advice().Select(a => (JsonNode)a)]),
        ["runs"] = new JsonArray([.. report.Results.Select(r => Json(report, r))]),
    };

    /// <summary>The run that stands for a batch; of several seeds, what they took in the mean.</summary>
    private static JsonObject Json(SweepReport report, BatchResult batch)
    {
        var json = Json(report, report.Of(batch.Best));
        json["stepsToTarget"] = Finite(batch.Reading?.Steps);
        json["samplesToTarget"] = Finite(batch.Reading?.Samples);
        json["secondsToTarget"] = Finite(report.SecondsTo(batch));
        json["isLowestRate"] = batch.IsLowest;
        json["isHighestRate"] = batch.IsHighest;
        return json;
    }

    private static JsonObject Json(SweepReport report, CellResult result)
    {
        var (outcome, reading) = (result.Outcome, result.Outcome.ReadingAt(report.Analysis.Target));
        return new JsonObject
        {
            ["optimizer"] = outcome.Cell.Optimizer,
            ["batch"] = outcome.Cell.Batch,
            ["rate"] = outcome.Cell.Rate,
            ["status"] = outcome.HasDiverged ? "diverged" : "completed",
            ["steps"] = result.Steps,
            ["samples"] = outcome.Evaluations.Count == 0 ? 0 : outcome.Evaluations[^1].Samples,
            ["validationLoss"] = Finite(outcome.FinalLoss),
            ["bestValidationLoss"] = Finite(outcome.BestLoss),
            ["trainingLoss"] = Finite(outcome.TrainingLoss),
            ["gap"] = Finite(outcome.Gap),
            ["stepsToTarget"] = Finite(reading?.Steps),
            ["samplesToTarget"] = Finite(reading?.Samples),
            ["secondsToTarget"] = Finite(result.SecondsTo(reading)),
            ["wallSeconds"] = Finite(result.WallSeconds),
            ["samplesPerSecond"] = Finite(result.SamplesPerSecond),
            ["seed"] = report.Settings.OptionsOf(outcome.Cell).Seed,
            ["peakRssBytes"] = result.PeakBytes,
            ["metrics"] = new JsonObject(result.Metrics.Select(m => KeyValuePair.Create(m.Key, Finite(m.Value)))),
            ["folder"] = report.Settings.FolderOf(outcome.Cell),
        };
    }

    private static JsonObject? Json(BatchFit? fit, Func<BatchFit, Estimate> which) => fit is null ? null : new JsonObject
    {
        ["value"] = fit.HasValue ? Finite(which(fit).Value) : null,
        ["low"] = Finite(which(fit).Low),
        ["high"] = Finite(which(fit).High),
    };

    /// <summary>JSON has no other numbers.</summary>
    private static JsonNode? Finite(double? value) => value is { } number && double.IsFinite(number) ? JsonValue.Create(double.Parse(number.ToString("G10", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture)) : null;

    private static string Plain(JsonNode? value) => value is JsonValue scalar ? scalar.ToString() : "";

    private static string Whole(double? value, string format) => value is { } number && double.IsFinite(number) ? number.ToString(format, CultureInfo.InvariantCulture) : "-";

    private static string Number(double value) => double.IsFinite(value) ? Words.Number(value) : "-";

    private static string Remark(BatchResult batch) =>
        batch.HasDiverged ? "diverged"
        : batch.Reading is null ? "did not get there"
        : batch.IsLowest ? "the lowest rate tried"
        : batch.IsHighest ? "the highest rate tried"
        : "";
}
