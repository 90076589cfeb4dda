namespace DistTrain.Core.BatchScience;

/// <summary>A quantity above 0 that was estimated, with an interval of 95 %.</summary>
/// <param name="Value">The estimate.</param>
/// <param name="Low">The lower bound; 0 where there is none.</param>
/// <param name="High">The upper bound; infinite where there is none.</param>
public readonly record struct Estimate(double Value, double Low, double High)
{
    /// <summary>Whether it has both bounds.</summary>
    public bool IsBounded => Low > 0 && double.IsFinite(High);

    /// <summary>As people read it: three digits.</summary>
    public override string ToString() => IsBounded
        ? $"{NoiseScale.Text(Value)} ({NoiseScale.Text(Low)} to {NoiseScale.Text(High)})"
        : Low > 0 ? $"above {NoiseScale.Text(Low)}"
        : double.IsFinite(High) ? $"below {NoiseScale.Text(High)}"
        : "unknown";
}
