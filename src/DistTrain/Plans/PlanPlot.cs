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
        var hasGain = plan.Curve.Any(p => p.Highest is not null);
        var rate = new PlotAxis(hasGain ? "learning rate at gain 1" : "learning rate", AxisScale.FromZero);
        var other = new PlotAxis(hasGain ? "learning rate at the largest gain" : "global batch, samples", AxisScale.FromZero);
        return new SvgPlot($"{plan.Name}: as planned", new PlotAxis("epochs"), rate, other)
            .Line(rate.Title, 0, plan.Curve.Select(p => (p.Epochs, p.Now.Rate)))
            .Line(other.Title, 1, plan.Curve.Select(p => (p.Epochs, hasGain ? p.Highest ?? double.NaN : p.Batch)), onRight: true);
    }
}
