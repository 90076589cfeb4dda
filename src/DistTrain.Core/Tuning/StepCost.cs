namespace DistTrain.Core.Tuning;

/// <summary>What the parts of a step cost on a host while a number of workers compute there at the same time, as measured: they share caches and the way to memory.</summary>
/// <param name="Workers">How many workers, at least 1.</param>
/// <param name="SecondsPerSample">Loading, forward and backward pass, and adding up, at the slowest of them.</param>
/// <param name="ExchangeSeconds">From the last own block to the whole sum, where that took least: what the exchange adds to a step.</param>
/// <param name="UpdateSeconds">The update.</param>
/// <param name="SecondsPerEvaluated">A sample of an evaluation at the slowest of them; 0 where there is no validation data.</param>
public sealed record StepCost(int Workers, double SecondsPerSample, double ExchangeSeconds, double UpdateSeconds, double SecondsPerEvaluated);

/// <summary>How long a step is predicted to take, in seconds.</summary>
/// <param name="Compute">The slowest worker's blocks.</param>
/// <param name="Exchange">What the exchange adds.</param>
/// <param name="Update">The update.</param>
public readonly record struct StepTime(double Compute, double Exchange, double Update)
{
    /// <summary>The whole step.</summary>
    public double Total => Compute + Exchange + Update;
}
