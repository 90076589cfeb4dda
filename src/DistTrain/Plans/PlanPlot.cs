using DistTrain.Views;

namespace DistTrain.Plans;

/// <summary>A plan as a picture: its predictions, or the rate and the batch over the run where nothing was measured.</summary>
internal static class PlanPlot
{
    /// <summary>Writes it into a file, which it replaces.</summary>
    public static void Write(RunPlan plan, string file) => (plan.Predictions.Count > 0 ? OfPredictions(plan) : OfRates(plan)).Write(file);

    private static SvgPlot OfPredictions(RunPlan plan)
    {
        var plot = new SvgPlot($"{plan.Name}: predicted on this machine", "workers", [.. plan.Predictions.Select(p => p.Workers)], "samples/s", "step, ms");
        foreach (var p in plan.Predictions)
        {
            plot.Add(p.Workers, p.SamplesPerSecond, p.Time.Total * 1000);
        }

        return plot;
    }

    private static SvgPlot OfRates(RunPlan plan)
    {
        var hasGain = plan.Shortest is not null;
        var plot = new SvgPlot(
            $"{plan.Name}: as planned", "epochs", hasGain ? "learning rate at gain 1" : "learning rate", hasGain ? "learning rate at the largest gain" : "global batch, samples");
        foreach (var point in plan.Curve)
        {
            plot.Add(point.Epochs, point.Now.Rate, hasGain ? point.Highest ?? double.NaN : point.Batch);
        }

        return plot;
    }
}
