using DistTrain.Core.BatchScience;
using DistTrain.Views;

namespace DistTrain.Sweeping;

/// <summary>A picture of a sweep.</summary>
/// <param name="Name">The name of its file, without <c>.svg</c>.</param>
/// <param name="Caption">What it shows, and how it is read.</param>
/// <param name="Svg">The text of the file.</param>
internal sealed record SweepPicture(string Name, string Caption, string Svg);

/// <summary>The pictures of a sweep.</summary>
internal static class SweepPlots
{
    private const int CurvePoints = 60;
    private const string MeanBatch = "A point stands at the mean size of its run's steps, because the last one of an epoch may be short.";

    /// <summary>Draws what there is to be drawn.</summary>
    public static IReadOnlyList<SweepPicture> Draw(SweepReport report)
    {
        var pictures = new List<SweepPicture>();
        if (report.Analysis.Optimizers.Any(o => o.Batches.Any(b => b.Reading is not null)))
        {
            pictures.Add(new SweepPicture(
                "steps", "Steps to the loss, for the best rate of each batch. Along the dotted line doubling the batch would halve the steps; where the points leave it, a larger batch pays less and less. "
                    + MeanBatch,
                Law(report, "Steps to the loss", "steps to the loss", r => r.Steps, (fit, b) => fit.Steps(b), withPerfect: true)));
            pictures.Add(new SweepPicture(
                "samples", "Training samples to the loss, for the best rate of each batch: what the batch costs in computing. " + MeanBatch,
                Law(report, "Samples to the loss", "training samples to the loss", r => r.Samples, (fit, b) => fit.Samples(b), withPerfect: false)));
            pictures.Add(new SweepPicture(
                "rates", "Training samples to the loss over the learning rate. Each batch has a rate that is right for it; one that is best at the end of its line asks for more rates. "
                    + "Runs that did not get to the loss have no point.", Rates(report)));
        }

        if (double.IsFinite(report.Analysis.Target))
        {
            pictures.Add(new SweepPicture("losses", "Validation loss over the training samples used, for the best rate of each batch. Along the dotted line lies the loss that batches are compared at.", Losses(report)));
        }

        pictures.Add(new SweepPicture("cost", "What the best run of each batch took of the machine that trained it: training samples a second, and the most memory that its worker held.", Cost(report)));
        return pictures;
    }

    private static string Law(SweepReport report, string title, string up, Func<TargetReading, double> value, Func<BatchFit, double, double> law, bool withPerfect)
    {
        var chart = new SvgPlot(title, new PlotAxis("global batch, samples", AxisScale.Doubling), new PlotAxis(up, AxisScale.Logarithmic));
        foreach (var (number, optimizer) in report.Analysis.Optimizers.Index())
        {
            var points = optimizer.Batches.Where(b => b.Reading is not null).Select(b => (Batch: b.Reading!.Value.Samples / b.Reading.Value.Steps, Value: value(b.Reading.Value))).ToList();
            if (points.Count == 0)
            {
                continue;
            }

            chart.Points(optimizer.Optimizer, number, points, joined: optimizer.Fit is null);
            if (optimizer.Fit is { } fit)
            {
                var (from, to) = (points.Min(p => p.Batch), points.Max(p => p.Batch));
                var curve = Enumerable.Range(0, CurvePoints).Select(i => from * Math.Pow(to / from, i / (CurvePoints - 1.0))).ToList();
                chart.Line($"{optimizer.Optimizer}: fit", number, curve.Select(b => (b, law(fit, b))));
                if (withPerfect)
                {
                    chart.Line($"{optimizer.Optimizer}: halving", number, [(from, law(fit, from)), (to, law(fit, from) * from / to)], dotted: true);
                }
            }
        }

        return chart.Text();
    }

    private static string Rates(SweepReport report)
    {
        var chart = new SvgPlot("Samples to the loss over the rate", new PlotAxis("learning rate", AxisScale.Logarithmic), new PlotAxis("training samples to the loss", AxisScale.Logarithmic));
        foreach (var (optimizer, batch, number) in Batches(report))
        {
            var points = report.Results
                .Where(r => r.Outcome.Cell.Optimizer == optimizer.Optimizer && r.Outcome.Cell.Batch == batch.Batch)
                .GroupBy(r => r.Outcome.Cell.Rate)
                .Select(runs => (Rate: runs.Key, Readings: runs.Select(r => r.Outcome.ReadingAt(report.Analysis.Target)?.Samples).ToList()))
                .Where(r => r.Readings.TrueForAll(samples => samples is not null))
                .OrderBy(r => r.Rate)
                .Select(r => (r.Rate, r.Readings.Average()!.Value))
                .ToList();
            if (points.Count > 0)
            {
                chart.Points($"{Prefix(report, optimizer.Optimizer)}batch {batch.Batch:N0}", number, points, joined: true);
            }
        }

        return chart.Text();
    }

    private static string Losses(SweepReport report)
    {
        var chart = new SvgPlot("Validation loss", new PlotAxis("training samples used"), new PlotAxis("validation loss"));
        var highest = 0.0;
        foreach (var (optimizer, batch, number) in Batches(report))
        {
            var points = batch.Best.Evaluations.Where(e => double.IsFinite(e.Loss)).Select(e => ((double)e.Samples, e.Loss)).ToList();
            chart.Curve($"{Prefix(report, optimizer.Optimizer)}batch {batch.Batch:N0}", number, points);
            highest = Math.Max(highest, points.Select(p => p.Loss).DefaultIfEmpty(0).First());
        }

        var last = report.Analysis.Optimizers.SelectMany(o => o.Batches).SelectMany(b => b.Best.Evaluations).Max(e => (double)e.Samples);
        chart.Line("target", 7, [(0, report.Analysis.Target), (last, report.Analysis.Target)], dotted: true);

        // A run that goes wrong would leave nothing else to see.
        return chart.Range(0, Math.Min(1.1 * highest, 8 * report.Analysis.Target)).Text();
    }

    private static string Cost(SweepReport report)
    {
        var (speed, memory) = (new PlotAxis("training samples/s", AxisScale.FromZero), new PlotAxis("peak memory of the worker, MB", AxisScale.FromZero));
        var chart = new SvgPlot("Speed and memory of the best runs", new PlotAxis("global batch, samples", AxisScale.Doubling), speed, memory);
        foreach (var (number, optimizer) in report.Analysis.Optimizers.Index())
        {
            var (prefix, results) = (Prefix(report, optimizer.Optimizer), optimizer.Batches.Select(b => (Batch: (double)b.Batch, Result: report.Of(b.Best))).Where(r => double.IsFinite(r.Result.SamplesPerSecond)).ToList());
            chart.Points(prefix + "samples/s", 2 * number, results.Select(r => (r.Batch, r.Result.SamplesPerSecond)), joined: true);
            chart.Points(prefix + "peak memory", (2 * number) + 1, results.Select(r => (r.Batch, r.Result.PeakBytes / 1e6)), joined: true, onRight: true);
        }

        return chart.Text();
    }

    /// <summary>All batches, numbered: a batch has one colour and mark in every picture, an optimizer its dashes.</summary>
    private static IEnumerable<(OptimizerResult Optimizer, BatchResult Batch, int Number)> Batches(SweepReport report)
    {
        long[] sizes = [.. report.Analysis.Optimizers.SelectMany(o => o.Batches).Select(b => b.Batch).Distinct().Order()];
        var apart = (sizes.Length + SvgPlot.Looks - 1) / SvgPlot.Looks * SvgPlot.Looks;
        return report.Analysis.Optimizers.Index().SelectMany(o => o.Item.Batches.Select(b => (o.Item, b, (o.Index * apart) + Array.IndexOf(sizes, b.Batch))));
    }

    private static string Prefix(SweepReport report, string optimizer) => report.Analysis.Optimizers.Count > 1 ? $"{optimizer}, " : "";
}
