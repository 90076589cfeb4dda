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

    /// <summary>Draws what there is to be drawn.</summary>
    public static IReadOnlyList<SweepPicture> Draw(SweepReport report)
    {
        var pictures = new List<SweepPicture>();
        if (report.Analysis.Optimizers.Any(o => o.Batches.Any(b => b.Reading is not null)))
        {
            pictures.Add(new SweepPicture(
                "steps", "Steps to the loss, for the best rate of each batch. Along the dashed line doubling the batch would halve the steps; where the points leave it, a larger batch pays less and less.",
                Law(report, "Steps to the loss", "steps", r => r.Steps, (fit, b) => fit.Steps(b), withPerfect: true)));
            pictures.Add(new SweepPicture(
                "samples", "Samples to the loss, for the best rate of each batch: what the batch costs in computing.",
                Law(report, "Samples to the loss", "samples", r => r.Samples, (fit, b) => fit.Samples(b), withPerfect: false)));
            pictures.Add(new SweepPicture(
                "rates", "Samples to the loss over the learning rate. Each batch has a rate that is right for it; one that is best at the end of its line asks for more rates.", Rates(report)));
        }

        if (double.IsFinite(report.Analysis.Target))
        {
            pictures.Add(new SweepPicture("losses", "Validation loss over the samples used, for the best rate of each batch.", Losses(report)));
        }

        pictures.Add(new SweepPicture("cost", "What the best run of each batch took of this machine.", Cost(report)));
        return pictures;
    }

    private static string Law(SweepReport report, string title, string up, Func<TargetReading, double> value, Func<BatchFit, double, double> law, bool withPerfect)
    {
        var chart = new SvgPlot(title, new PlotAxis("global batch", AxisScale.Doubling), new PlotAxis(up, AxisScale.Logarithmic));
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
                    chart.Line($"{optimizer.Optimizer}: halving", number, [(from, law(fit, from)), (to, law(fit, from) * from / to)], dashed: true);
                }
            }
        }

        return chart.Text();
    }

    private static string Rates(SweepReport report)
    {
        var chart = new SvgPlot("Samples to the loss over the rate", new PlotAxis("learning rate", AxisScale.Logarithmic), new PlotAxis("samples", AxisScale.Logarithmic));
        foreach (var (number, group) in report.Results.GroupBy(r => (r.Outcome.Cell.Optimizer, r.Outcome.Cell.Batch)).Index())
        {
            var points = group
                .OrderBy(r => r.Outcome.Cell.Rate)
                .Select(r => (r.Outcome.Cell.Rate, Reading: TargetReading.Of(r.Outcome.Evaluations, report.Analysis.Target)))
                .Where(r => r.Reading is not null)
                .Select(r => (r.Rate, r.Reading!.Value.Samples))
                .ToList();
            if (points.Count > 0)
            {
                chart.Points($"{Prefix(report, group.Key.Optimizer)}batch {group.Key.Batch}", number, points, joined: true);
            }
        }

        return chart.Text();
    }

    private static string Losses(SweepReport report)
    {
        var chart = new SvgPlot("Validation loss", new PlotAxis("samples"), new PlotAxis("validation loss"));
        var (colour, highest) = (0, 0.0);
        foreach (var optimizer in report.Analysis.Optimizers)
        {
            foreach (var batch in optimizer.Batches)
            {
                var points = batch.Best.Evaluations.Where(e => double.IsFinite(e.Loss)).Select(e => ((double)e.Samples, e.Loss)).ToList();
                chart.Line($"{Prefix(report, optimizer.Optimizer)}batch {batch.Batch}", colour++, points);
                highest = Math.Max(highest, points.Select(p => p.Loss).DefaultIfEmpty(0).First());
            }
        }

        var last = report.Analysis.Optimizers.SelectMany(o => o.Batches).SelectMany(b => b.Best.Evaluations).Max(e => (double)e.Samples);
        chart.Line("target", 7, [(0, report.Analysis.Target), (last, report.Analysis.Target)], dashed: true);

        // A run that goes wrong would leave nothing else to see.
        return chart.Range(0, Math.Min(1.1 * highest, 8 * report.Analysis.Target)).Text();
    }

    private static string Cost(SweepReport report)
    {
        var results = report.Analysis.Optimizers[0].Batches.Select(b => (Batch: (double)b.Batch, Result: report.Of(b.Best))).Where(r => double.IsFinite(r.Result.SamplesPerSecond)).ToList();
        var (speed, memory) = (new PlotAxis("samples/s", AxisScale.FromZero), new PlotAxis("peak memory of the worker, MB", AxisScale.FromZero));
        return new SvgPlot("Speed and memory of the best runs", new PlotAxis("global batch", AxisScale.Doubling), speed, memory)
            .Points(speed.Title, 0, results.Select(r => (r.Batch, r.Result.SamplesPerSecond)), joined: true)
            .Points(memory.Title, 1, results.Select(r => (r.Batch, r.Result.PeakBytes / 1e6)), joined: true, onRight: true)
            .Text();
    }

    private static string Prefix(SweepReport report, string optimizer) => report.Analysis.Optimizers.Count > 1 ? $"{optimizer}, " : "";
}
