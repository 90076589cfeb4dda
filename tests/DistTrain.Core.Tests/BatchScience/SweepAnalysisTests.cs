using CsCheck;
using DistTrain.Core.BatchScience;

namespace DistTrain.Core.Tests.BatchScience;

/// <summary>Which runs a sweep has, when they reached a loss, and which of them were the best.</summary>
public sealed class SweepAnalysisTests
{
    private static readonly SweepOptimizer Sgd = new("sgd", 0.1);

    [Fact]
    public void There_is_a_run_for_every_optimizer_batch_and_rate_small_batches_first()
    {
        var cells = SweepPlan.Cells([Sgd, new("adamw", 0.001)], [64, 16], [new(1, true), new(0.5, true), new(0.3, false)], 64);

        Assert.Equal(12, cells.Count);
        Assert.Equal(12, cells.Select(c => c.Name).Distinct().Count());
        Assert.All(cells.Take(6), c => Assert.Equal(16, c.Batch));
        Assert.Equal(["sgd-b16-r0.0125", "sgd-b16-r0.025", "sgd-b16-r0.3", "adamw-b16-r0.00025", "adamw-b16-r0.0005", "adamw-b16-r0.3"], cells.Take(6).Select(c => c.Name));
    }

    [Fact]
    public void Rates_that_come_to_the_same_are_one_run() =>
        Assert.Equal(2, SweepPlan.Cells([Sgd], [64], [new(1, true), new(0.1, false), new(2, true)], 64).Count);

    [Fact]
    public void An_optimizer_that_is_there_with_two_rates_has_the_runs_of_both_once() => Assert.Equal(
        ["sgd-b64-r0.05", "sgd-b64-r0.1", "sgd-b64-r0.2", "sgd-b64-r0.4"],
        SweepPlan.Cells([Sgd, new("sgd", 0.2)], [64, 64], [new(0.5, true), new(1, true), new(2, true)], 64).Select(c => c.Name));

    [Fact]
    public void The_rule_of_thumb_is_linear_for_sgd_and_a_square_root_for_adam() =>
        Gen.Select(Gen.Double[1e-4, 1], Gen.Int[1, 4096], Gen.Int[1, 4096]).Always((rate, reference, batch) =>
        {
            Assert.Equal(rate * batch / reference, SweepPlan.RateFor(new("sgd", rate), reference, batch), 1e-9);
            Assert.Equal(rate * Math.Sqrt((double)batch / reference), SweepPlan.RateFor(new("adam", rate), reference, batch), 1e-9);
        });

    [Fact]
    public void The_target_is_read_between_the_evaluations_around_it() =>
        Gen.Select(Gen.Double[0.1, 0.9], Gen.Int[1, 50], Gen.Int[1, 500]).Always((target, every, batch) =>
        {
            // A loss that falls by the same in every step.
            var steps = 100.0;
            var points = Enumerable.Range(1, (int)steps).Where(s => s % every == 0 || s == 100).Select(s => new LossPoint(s, (long)s * batch, 1 - (s / steps))).ToList();
            var reading = TargetReading.Of(points, target)!.Value;

            var truth = (1 - target) * steps;
            Assert.Equal(points[0].Loss <= target ? every : truth, reading.Steps, 1e-9);
            Assert.Equal(reading.Steps * batch, reading.Samples, 1e-6);
            Assert.InRange(reading.Doubt * reading.Samples, 0, (every * batch / Math.Sqrt(12)) + 1e-9);
        });

    [Fact]
    public void The_first_time_below_the_target_counts_and_a_loss_that_is_not_finite_is_none()
    {
        IReadOnlyList<LossPoint> points = [new(10, 100, double.NaN), new(20, 200, 0.5), new(30, 300, 0.7), new(40, 400, 0.3)];
        Assert.Equal(200, TargetReading.Of(points, 0.5)!.Value.Samples);
        Assert.Equal(350, TargetReading.Of(points, 0.499999)!.Value.Samples, 60.0);
        Assert.Null(TargetReading.Of(points, 0.2));
        Assert.Null(TargetReading.Of([], 1));
    }

    [Fact]
    public void The_best_rate_of_a_batch_gets_to_the_target_with_the_fewest_samples_and_is_told_where_it_is_at_an_end()
    {
        var analysis = SweepAnalysis.Of(
        [
            Run(16, 0.1, 0.9, 0.5, 0.2), Run(16, 0.2, 0.6, 0.3, 0.25), Run(16, 0.4, 0.9, 0.9, 0.9),
            Run(32, 0.1, 0.9, 0.8, 0.7), Run(32, 0.2, 0.9, 0.7, 0.5), Run(32, 0.4, 0.9, 0.5, 0.3),
            Run(64, 0.1, 0.9, 0.9, 0.8),
        ], target: 0.4);

        Assert.True(analysis.IsGiven);
        var batches = Assert.Single(analysis.Optimizers).Batches;
        Assert.Equal([(16, 0.2, false, false), (32, 0.4, false, true), (64, 0.1, false, false)], batches.Select(b => (b.Batch, b.Best.Cell.Rate, b.IsLowest, b.IsHighest)));
        Assert.Equal([true, true, false], batches.Select(b => b.Reading is not null));
        Assert.Null(analysis.Optimizers[0].Fit);
    }

    [Fact]
    public void Without_a_target_it_is_a_loss_that_every_batch_has_reached()
    {
        var analysis = SweepAnalysis.Of(
            [Run(16, 0.1, 0.9, 0.2), Run(32, 0.1, 0.9, 0.4123), Run(32, 0.2, double.NaN, double.NaN), Run(64, 0.1, 0.9, 0.3), Run(128, 0.1, double.NaN)], target: null);

        Assert.False(analysis.IsGiven);
        Assert.Equal(0.454, analysis.Target, 1e-9);
        Assert.Equal([true, true, true, false], analysis.Optimizers[0].Batches.Select(b => b.Reading is not null));
        Assert.NotNull(analysis.Optimizers[0].Fit);
        Assert.Equal(0.1, analysis.Optimizers[0].Batches[1].Best.Cell.Rate);
    }

    [Fact]
    public void Where_everything_diverged_there_is_no_target_and_no_fit()
    {
        var analysis = SweepAnalysis.Of([Run(16, 0.1, double.NaN), Run(32, 0.1, double.PositiveInfinity), new CellOutcome(new("sgd", 64, 1), [], true, double.NaN)], null);
        Assert.False(double.IsFinite(analysis.Target));
        Assert.Null(analysis.Optimizers[0].Fit);
        Assert.All(analysis.Optimizers[0].Batches, b => Assert.Null(b.Reading));
    }

    [Theory]
    [InlineData(2.303, 2.29, 2.2965)]
    [InlineData(2.303, 2.1, 2.2015)]
    [InlineData(2.303, 1, 1.1)]
    [InlineData(2.303, 2.3029, 2.30295)]
    public void A_target_that_is_not_given_is_below_the_loss_of_the_untrained_model(double start, double reached, double target)
    {
        var analysis = SweepAnalysis.Of([Run(16, 0.1, 2.5, reached) with { StartLoss = start }, Run(64, 0.1, 2.5, reached / 2) with { StartLoss = start }], null);
        Assert.Equal((start, target > 1.1 * reached - 1e-9), (analysis.StartLoss!.Value, !analysis.IsHalfway));
        Assert.InRange(analysis.Target, target - 1e-9, (target * 1.01) - 1e-9);
        Assert.InRange(analysis.Target, reached, start - 1e-9);
    }

    [Fact]
    public void Where_no_run_learnt_anything_there_is_no_target_and_without_the_untrained_loss_it_is_no_higher_than_the_first_evaluations()
    {
        Assert.False(double.IsFinite(SweepAnalysis.Of([Run(16, 0.1, 2.35) with { StartLoss = 2.303 }, Run(64, 0.1, 2.31) with { StartLoss = 2.303 }], null).Target));
        Assert.Equal(2.35, SweepAnalysis.Of([Run(16, 0.1, 2.35), Run(64, 0.1, 2.31)], null).Target, 1e-9);
    }

    [Fact]
    public void A_run_that_diverged_counts_for_nothing_whatever_it_had_reached()
    {
        CellOutcome[] gone =
        [
            Run(16, 0.4, 0.2, 1.2e24) with { StartLoss = 2.3 }, Run(32, 0.4, 0.2, double.NaN), Run(64, 0.4, 0.2, 0.1) with { HasFailed = true }, Run(64, 0.8, 0.3, double.PositiveInfinity),
        ];
        Assert.All(gone, o => Assert.True(o.HasDiverged && o.ReadingAt(0.5) is null && !double.IsFinite(o.BestLoss)));
        Assert.False((Run(16, 0.4, 2.5, 2.7) with { StartLoss = 2.3 }).HasDiverged);

        var analysis = SweepAnalysis.Of([.. gone, Run(16, 0.1, 0.9, 0.5), Run(32, 0.1, 0.9, 0.4)], null);
        Assert.Equal(0.55, analysis.Target, 1e-9);
        Assert.Equal([(16, 0.1, false), (32, 0.1, false), (64, 0.4, true)], analysis.Optimizers[0].Batches.Select(b => (b.Batch, b.Best.Cell.Rate, b.HasDiverged)));
        Assert.Equal([true, true, false], analysis.Optimizers[0].Batches.Select(b => b.Reading is not null));
    }

    [Fact]
    public void A_target_that_is_not_given_is_reached_by_every_batch_that_learnt() =>
        Gen.Select(Gen.Double[0.01, 3], Gen.Select(Gen.Double[0.01, 4], Gen.Bool).Array[1, 12]).Always((start, ends) =>
        {
            var outcomes = ends.Select((end, i) => Run(16 << (i / 3), 0.1 * (1 + (i % 3)), start * 1.1, end.Item1) with { StartLoss = start, HasFailed = end.Item2 }).ToList();
            var analysis = SweepAnalysis.Of(outcomes, null);
            Assert.False(double.IsFinite(analysis.Target) && analysis.Target >= start, $"{analysis.Target}");
            foreach (var batch in analysis.Optimizers[0].Batches)
            {
                var learnt = outcomes.Any(o => o.Cell.Batch == batch.Batch && !o.HasFailed && o.BestLoss < start);
                Assert.Equal(learnt, batch.Reading is not null);
                Assert.False(learnt && batch.HasDiverged);
            }
        });

    private static CellOutcome Run(long batch, double rate, params double[] losses) =>
        new(new SweepCell("sgd", batch, rate), [.. losses.Select((loss, i) => new LossPoint((i + 1) * 1000 / batch, (i + 1) * 1000, loss))], false, 0.1);
}
