using DistTrain.Views;

namespace DistTrain.Plans;

/// <summary>A plan as a picture: its predictions, or the rate and the batch over the run where nothing was measured.</summary>
internal static class PlanPlot
{
    /// <summary>Writes it into a file, which it replaces.</summary>
    public static void Write(RunPlan plan, string file) => (plan.Predictions.Count > 0 ? OfPredictions(plan) : OfRates(plan)).Write(file);

    private static SvgPlot OfPredictions(RunPlan plan)
    {
        var (speed, time) = (new PlotAxis("samples/s", AxisScale.FromZero), new PlotAxis("step, ms", AxisScale.FromZero));
        return new SvgPlot($"{plan.Name}: predicted on this machine", new PlotAxis("workers", AxisScale.Doubling), speed, time)
            .Points(speed.Title, 0, plan.Predictions.Select(p => ((double)p.Workers, p.SamplesPerSecond)), joined: true)
            .Points(time.Title, 1, plan.Predictions.Select(p => ((double)p.Workers, p.Time.Total * 1000)), joined: true, onRight: true);
    }

    private static SvgPlot OfRates(RunPlan plan)
    {
        var (rate, batch) = (new PlotAxis("learning rate", AxisScale.FromZero), new PlotAxis("global batch, samples", AxisScale.FromZero));
        var (hasGain, changes) = (plan.Curve.Any(p => p.Highest is not null), plan.Curve.Any(p => p.Batch != plan.Curve[0].Batch));

        // Rates at different gains are of one quantity, and lie on one axis; the batch is beside them where it changes.
        var plot = new SvgPlot($"{plan.Name}: as planned", new PlotAxis("epochs"), rate, hasGain && !changes ? null : batch)
            .Line(hasGain ? "learning rate at gain 1" : rate.Title, 0, plan.Curve.Select(p => (p.Epochs, p.Now.Rate)));
        plot = hasGain ? plot.Line("learning rate at the largest gain", 1, plan.Curve.Where(p => p.Highest is not null).Select(p => (p.Epochs, p.Highest!.Value))) : plot;
        return hasGain && !changes ? plot : plot.Line(batch.Title, hasGain ? 2 : 1, plan.Curve.Select(p => (p.Epochs, (double)p.Batch)), onRight: true);
    }
}
