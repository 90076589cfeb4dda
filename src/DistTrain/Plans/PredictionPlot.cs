using DistTrain.Views;

namespace DistTrain.Plans;

/// <summary>The predictions of a plan as a picture.</summary>
internal static class PredictionPlot
{
    /// <summary>Writes it into a file, which it replaces.</summary>
    public static void Write(RunPlan plan, string file)
    {
        var plot = new SvgPlot($"{plan.Name}: predicted on this machine", "workers", [.. plan.Predictions.Select(p => p.Workers)], "samples/s", "step, ms");
        foreach (var p in plan.Predictions)
        {
            plot.Add(p.Workers, p.SamplesPerSecond, p.Time.Total * 1000);
        }

        plot.Write(file);
    }
}
