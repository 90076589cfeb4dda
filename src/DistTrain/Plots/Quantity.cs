namespace DistTrain.Plots;

/// <summary>A quantity of a run as people call it.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Unit">What it counts; null for a bare number.</param>
internal sealed record Quantity(string Name, string? Unit = null)
{
    private static readonly Dictionary<string, Quantity> Known = new()
    {
        ["loss"] = new("training loss"),
        ["lr"] = new("learning rate"),
        ["globalBatch"] = new("global batch", "samples"),
        ["microBatch"] = new("micro-batch", "samples"),
        ["worldSize"] = new("workers"),
        ["gradNorm"] = new("gradient norm"),
        ["noiseScale"] = new("noise scale", "samples"),
        ["gain"] = new("gain of AdaScale", "steps of the reference batch"),
        ["stepMs"] = new("time of a step", "ms"),
        ["samplesPerSecond"] = new("speed", "samples/s"),
    };

    /// <summary>What an axis is called.</summary>
    public string Title => Unit is null ? Name : $"{Name}, {Unit}";

    /// <summary>A quantity by its name in a run's files, which it keeps where people have no other.</summary>
    public static Quantity Of(string value) =>
        Known.TryGetValue(value, out var known) ? known
        : value.StartsWith(RunCurve.Validation, StringComparison.Ordinal) ? new Quantity($"validation {value[RunCurve.Validation.Length..]}")
        : new Quantity(value);
}
