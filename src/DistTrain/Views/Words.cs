using DistTrain.Core;

namespace DistTrain.Views;

/// <summary>The numbers of a run in words: one wording for every view.</summary>
internal static class Words
{
    /// <summary>What a run is going to do, once.</summary>
    public static string Frame(RunView view) =>
        $"{view.Name}: {Count(view.Parameters, "parameter")}, {Count(view.TrainingSamples, "sample")}, "
        + $"{(view.MostSteps > 0 ? "at most " : "")}{Count(view.MostSteps > 0 ? view.MostSteps : view.TotalSteps, "step")} of {Count(view.GlobalBatch, "sample")} "
        + $"in micro-batches of {view.MicroBatch}, {Count(view.Workers, "worker")}";

    /// <summary>Where it stands.</summary>
    public static string Step(RunView view) =>
        $"step {view.Step}/{view.TotalSteps} ({view.Progress:P0}), epoch {view.Epoch}, loss {Number(view.Loss)}, rate {Rate(view)}, "
        + $"{view.SamplesPerSecond:N0} samples/s, {Count(view.Workers, "worker")}, {(view.TimeLeft is { } left ? Span(left) : "?")} left";

    /// <summary>The learning rate, and the gain in it.</summary>
    public static string Rate(RunView view) => view.Gain > 0 ? $"{Number(view.LearningRate)} (gain {view.Gain:0.00})" : Number(view.LearningRate);

    /// <summary>How good it is.</summary>
    public static string Validation(RunView view) =>
        string.Join(", ", [$"validation loss {Number(view.ValidationLoss)}", .. view.Metrics.Select(m => $"{m.Key} {Number(m.Value)}")]);

    /// <summary>Four digits, which is what people compare.</summary>
    public static string Number(double value) => double.IsNaN(value) ? "-" : value.ToString("G4");

    /// <summary>A duration in the two units that matter.</summary>
    public static string Span(TimeSpan span) => span switch
    {
        { TotalHours: >= 1 } => $"{Math.Floor(span.TotalHours):0} h {span.Minutes} min",
        { TotalMinutes: >= 1 } => $"{span.Minutes} min {span.Seconds} s",
        { TotalSeconds: >= 10 } => $"{span.TotalSeconds:0} s",
        _ => $"{span.TotalSeconds:0.0} s",
    };

    /// <summary>A number of samples that is estimated.</summary>
    public static string Samples(double value) => value < 10 ? value.ToString("0.#") : value < 1000 ? value.ToString("0") : (Math.Round(value / 10) * 10).ToString("N0");

    /// <summary>A number and its noun.</summary>
    public static string Count(long count, string noun, string plural = "s") => Counted.Of(count, noun, plural);
}
