using DistTrain.Core.BatchScience;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Tests.BatchScience;

/// <summary>What several seeds of the same batch and rate come to.</summary>
public sealed class SweepSeedTests
{
    private const double Target = 0.5;
    private const double Steps = 4000;
    private const double Critical = 100;
    private static readonly long[] Batches = [16, 32, 64, 128, 256, 512];

    [Fact]
    public void Runs_of_a_rate_differ_by_their_seed_and_their_name()
    {
        var cells = SweepPlan.Cells([new("sgd", 0.1)], [64], [new(1, true)], 64, seeds: 3);
        Assert.Equal([("sgd-b64-r0.1", 0), ("sgd-b64-r0.1-s1", 1), ("sgd-b64-r0.1-s2", 2)], cells.Select(c => (c.Name, c.Seed)));
    }

    [Theory]
    [InlineData("sgd", 64, 0.1, 0)]
    [InlineData("adamw", 1L << 40, 1e-5, 0)]
    [InlineData("lars", 1, 1.5e20, 12)]
    public void A_run_is_known_by_its_name(string optimizer, long batch, double rate, int seed)
    {
        var cell = new SweepCell(optimizer, batch, rate, seed);
        Assert.Equal(cell, SweepCell.Named(cell.Name));
    }

    [Theory]
    [InlineData("notes")]
    [InlineData("sgd-b064-r0.1")]
    [InlineData("sgd-b64-r0.1-s0")]
    [InlineData("sgd-b64-r0.10")]
    [InlineData("sgd-b99999999999999999999-r0.1")]
    [InlineData("sgd-b64-r0.1.tmp")]
    public void Another_name_is_no_runs(string name) => Assert.Null(SweepCell.Named(name));

    [Fact]
    public void The_best_rate_is_best_in_the_mean_and_gets_there_with_every_seed()
    {
        var result = Assert.Single(Assert.Single(SweepAnalysis.Of(
        [
            .. Runs(16, 0.1, 900, 1000, 1100), .. Runs(16, 0.2, 500, 3000, 3000), .. Runs(16, 0.4, 400, 400, null),
        ], Target).Optimizers).Batches);
        Assert.Equal((0.1, 1, 3), (result.Best.Cell.Rate, result.Best.Cell.Seed, result.Runs.Count));
        Assert.Equal(Math.Cbrt(900.0 * 1000 * 1100), result.Reading!.Value.Steps, 1e-6);
    }

    [Fact]
    public void Without_a_target_it_is_a_loss_that_every_seed_has_reached()
    {
        CellOutcome[] outcomes = [.. new[] { 0.2, 0.4 }.Select((loss, seed) => new CellOutcome(new SweepCell("sgd", 16, 0.1, seed), [new LossPoint(5, 80, 0.9), new LossPoint(10, 160, loss)], false, 0.1))];
        Assert.Equal(0.44, SweepAnalysis.Of(outcomes, null).Target, 0.0011);
    }

    [Fact]
    public void Intervals_contain_the_spread_of_the_seeds()
    {
        // The means lie on the law, so that by their scatter alone nothing would be in doubt.
        var one = Fit([.. Batches.SelectMany(b => Runs(b, 0.1, Law(b)))]);
        var three = Fit([.. Batches.SelectMany(b => Runs(b, 0.1, Law(b) * 0.75, Law(b), Law(b) / 0.75))]);
        Assert.Equal(1, three.CriticalBatch.Value / one.CriticalBatch.Value, 0.01);
        Assert.InRange(one.CriticalBatch.High / one.CriticalBatch.Low, 1, 1.05);
        Assert.All(new[] { three.CriticalBatch, three.LeastSteps, three.LeastSamples }, e => Assert.InRange(e.High / e.Low, 1.3, 4));
    }

    [Fact]
    public void Intervals_of_several_seeds_hold_the_true_law()
    {
        const int trials = 60;
        var (inside, widths) = (0, new List<double>());
        for (var trial = 0; trial < trials; trial++)
        {
            var random = new CounterRandom(Hash64.Combine(23, (ulong)trial));
            var fit = Fit([.. Batches.SelectMany(b => Runs(b, 0.1, [.. Enumerable.Range(0, 3).Select(_ => (double?)Law(b) * Math.Exp(0.15 * random.NextNormal()))]))]);
            inside += fit.CriticalBatch.Low <= Critical && Critical <= fit.CriticalBatch.High ? 1 : 0;
            widths.Add(fit.CriticalBatch.High / fit.CriticalBatch.Low);
        }

        widths.Sort();
        TestContext.Current.TestOutputHelper?.WriteLine($"{inside} of {trials}; median width {widths[trials / 2]:0.00}");
        Assert.InRange(inside, 0.9 * trials, trials);
        Assert.InRange(widths[trials / 2], 1.2, 3);
    }

    private static double Law(long batch) => Steps * (1 + (Critical / batch));

    private static BatchFit Fit(IReadOnlyList<CellOutcome> outcomes) => Assert.Single(SweepAnalysis.Of(outcomes, Target).Optimizers).Fit!;

    /// <summary>Runs that come down to the target after so many steps; null for one that does not.</summary>
    private static IEnumerable<CellOutcome> Runs(long batch, double rate, params double?[] steps) => steps.Select((at, seed) =>
    {
        var around = (long)(at ?? 0);
        return new CellOutcome(
            new SweepCell("sgd", batch, rate, seed),
            at is null ? [new(100, 100 * batch, 0.9)] : [new(around - 1, (around - 1) * batch, 0.6), new(around + 1, (around + 1) * batch, 0.4)],
            false, 0.1);
    });
}
