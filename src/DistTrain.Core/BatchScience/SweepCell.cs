using System.Globalization;
using System.Text.RegularExpressions;
using DistTrain.Core.Schedules;

namespace DistTrain.Core.BatchScience;

/// <summary>One run of a sweep.</summary>
/// <param name="Optimizer">The update rule's name.</param>
/// <param name="Batch">The global batch.</param>
/// <param name="Rate">The full learning rate.</param>
/// <param name="Seed">What is added to the seed of the configuration: runs of a batch and a rate that differ by it tell how far chance goes.</param>
public sealed partial record SweepCell(string Optimizer, long Batch, double Rate, int Seed = 0)
{
    /// <summary>What people and files call it.</summary>
    public string Name => FormattableString.Invariant($"{Optimizer}-b{Batch}-r{Rate:R}{(Seed == 0 ? "" : $"-s{Seed}")}");

    /// <summary>The run that has a name; null where none has it.</summary>
    public static SweepCell? Named(string name)
    {
        var parts = Parts().Match(name);
        var cell = long.TryParse(parts.Groups["batch"].Value, CultureInfo.InvariantCulture, out var batch) && double.TryParse(parts.Groups["rate"].Value, CultureInfo.InvariantCulture, out var rate)
            ? new SweepCell(parts.Groups["optimizer"].Value, batch, rate, int.TryParse(parts.Groups["seed"].Value, CultureInfo.InvariantCulture, out var seed) ? seed : 0)
            : null;
        return cell?.Name == name ? cell : null;
    }

    [GeneratedRegex("^(?<optimizer>[a-z]+)-b(?<batch>[0-9]+)-r(?<rate>[0-9.E+-]+?)(-s(?<seed>[0-9]+))?$")]
    private static partial Regex Parts();
}

/// <summary>A learning rate to be tried.</summary>
/// <param name="Value">The rate, or the multiple.</param>
/// <param name="IsMultiple">Whether it is a multiple of the rate that the rule of thumb has for the batch.</param>
public readonly record struct SweepRate(double Value, bool IsMultiple);

/// <summary>An update rule to be tried.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Rate">A rate that suits it at the reference batch.</param>
public readonly record struct SweepOptimizer(string Name, double Rate);

/// <summary>Which runs a sweep consists of.</summary>
public static class SweepPlan
{
    /// <summary>
    /// Every optimizer with every batch and every rate: small batches first, as they take longest, which keeps parallel runs busy to the end. Where two rates come to the same, once; an optimizer that
    /// is there with two rates has the runs of both.
    /// </summary>
    /// <param name="optimizers">The update rules.</param>
    /// <param name="batches">The global batches.</param>
    /// <param name="rates">The rates, or their multiples.</param>
    /// <param name="reference">The batch that the optimizers' own rates are for.</param>
    /// <param name="seeds">How many runs of each batch and rate there are.</param>
    public static IReadOnlyList<SweepCell> Cells(
        IReadOnlyList<SweepOptimizer> optimizers, IReadOnlyList<long> batches, IReadOnlyList<SweepRate> rates, long reference, int seeds = 1) =>
    [
        .. from batch in batches.Distinct().Order()
           from named in optimizers.GroupBy(o => o.Name)
           from rate in named.SelectMany(o => rates.Select(r => r.IsMultiple ? Round(r.Value * RateFor(o, reference, batch)) : r.Value)).Distinct().Order()
           from seed in Enumerable.Range(0, seeds)
           select new SweepCell(named.Key, batch, rate, seed),
    ];

    /// <summary>
    /// The rule of thumb: the rate goes with the batch for SGD and LARS (P. Goyal et al., arXiv 1706.02677), with its square root for rules that divide by the gradient's size
    /// (S. Malladi et al., arXiv 2205.10287).
    /// </summary>
    public static double RateFor(SweepOptimizer optimizer, long reference, long batch) =>
        optimizer.Rate * BatchScaling.RateFactor(optimizer.Name is "sgd" or "lars" ? ScalingRule.Linear : ScalingRule.SquareRoot, (double)batch / reference);

    /// <summary>To four digits: a rate is read by people.</summary>
    private static double Round(double rate) =>
        double.Parse(rate.ToString("G4", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
}
