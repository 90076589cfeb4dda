using CsCheck;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Tests.BatchScience;

/// <summary>The law of steps and samples over batches, fitted to points of which the truth is known.</summary>
public sealed class BatchFitTests
{
    private const int Trials = 200;
    private static readonly double[] Batches = [16, 32, 64, 128, 256, 512];

    /// <summary>S_min, B_c, the batches, how much points scatter.</summary>
    public static TheoryData<double, double, double[], double> Truths => new()
    {
        { 40, 100, Batches, 0.05 },
        { 900, 40, Batches, 0.1 },
        { 25, 300, Batches, 0.03 },
        { 100, 64, [8, 64, 512], 0.02 },
        { 3000, 2000, [64, 256, 1024, 4096, 16384, 65536, 262144, 1048576], 0.2 },
    };

    [Theory]
    [MemberData(nameof(Truths))]
    public void Its_intervals_of_95_percent_hold_the_true_law(double steps, double critical, double[] batches, double scatter)
    {
        var (inSteps, inSamples, inCritical, widths) = (0, 0, 0, new List<double>());
        for (var trial = 0; trial < Trials; trial++)
        {
            var random = new CounterRandom(Hash64.Combine(17, (ulong)trial));
            var fit = BatchFit.Of([.. batches.Select(b => Point(steps, critical, b, Math.Exp(scatter * random.NextNormal())))])!;
            inSteps += Holds(fit.LeastSteps, steps);
            inSamples += Holds(fit.LeastSamples, steps * critical);
            inCritical += Holds(fit.CriticalBatch, critical);
            widths.Add(fit.CriticalBatch.High / fit.CriticalBatch.Low);
        }

        widths.Sort();
        TestContext.Current.TestOutputHelper?.WriteLine($"S_min {inSteps}, E_min {inSamples}, B_c {inCritical} of {Trials}; median width of B_c {widths[Trials / 2]:0.00}");
        Assert.All(new[] { inSteps, inSamples, inCritical }, inside => Assert.True(
            inside >= 0.9 * Trials && inside < Trials, $"{inside} of {Trials} intervals hold the truth: they are too narrow, or say nothing."));
        if (batches.Length > 3)
        {
            Assert.InRange(widths[Trials / 2], 1, 4);
        }
    }

    [Fact]
    public void Points_on_the_law_give_it_back() =>
        Gen.Select(Gen.Double[0, 5], Gen.Double[-1, 4], Gen.Double[0.001, 0.1]).Always((logSteps, logCritical, doubt) =>
        {
            var (steps, critical) = (Math.Pow(10, logSteps), Math.Pow(10, logCritical));
            var fit = BatchFit.Of([.. Batches.Select(b => Point(steps, critical, b, 1, doubt))])!;

            Assert.Equal(1, fit.CriticalBatch.Value / critical, 1e-4);
            Assert.Equal(1, fit.LeastSteps.Value / steps, 1e-4);
            Assert.Equal(1, fit.LeastSamples.Value / (steps * critical), 1e-4);
            Assert.Equal(0, fit.Scatter, 1e-6);
            Assert.Equal(1, fit.Samples(100) / (steps * critical * (1 + (100 / critical))), 1e-4);
            Assert.Equal(1, fit.Steps(100) / (steps * (1 + (critical / 100))), 1e-4);
        });

    [Fact]
    public void A_reading_that_is_in_doubt_widens_the_intervals_of_points_that_do_not_scatter()
    {
        var (sharp, blurred) = (
            BatchFit.Of([.. Batches.Select(b => Point(40, 100, b, 1, 0.01))])!.CriticalBatch, BatchFit.Of([.. Batches.Select(b => Point(40, 100, b, 1, 0.1))])!.CriticalBatch);
        Assert.InRange(sharp.High / sharp.Low, 1.01, 1.5);
        Assert.InRange(blurred.High / blurred.Low, 1.5, 50);
    }

    [Fact]
    public void Batches_on_one_side_of_the_critical_one_bound_it_on_that_side_only()
    {
        // So far below that steps halve with every doubling; so far above that they stay.
        var below = BatchFit.Of([.. Batches.Select(b => Point(1, 1e6, b, 1, 0.05))])!;
        Assert.True(below.CriticalBatch.Low > 512 && double.IsPositiveInfinity(below.CriticalBatch.High), $"{below.CriticalBatch}");
        Assert.Equal((CriticalBatchFinding.Above, false), (below.Finding, below.HasValue));
        Assert.Equal(0, below.LeastSteps.Low);
        Assert.True(below.LeastSamples.IsBounded);
        Assert.StartsWith("above ", below.CriticalBatch.ToString(), StringComparison.Ordinal);

        var above = BatchFit.Of([.. Batches.Select(b => Point(50, 0.01, b, 1, 0.05))])!;
        Assert.True(above.CriticalBatch.Low == 0 && above.CriticalBatch.High < 16, $"{above.CriticalBatch}");
        Assert.Equal((CriticalBatchFinding.Below, false), (above.Finding, above.HasValue));
        Assert.Equal(0, above.LeastSamples.Low);
        Assert.True(above.LeastSteps.IsBounded);
        Assert.StartsWith("below ", above.CriticalBatch.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Points_that_leave_the_upper_bound_open_do_not_say_that_it_is_above_all_batches()
    {
        // Four times the batch took 1.74 times fewer steps, far from halving them twice, as far as evaluations every 600 samples can tell.
        var fit = BatchFit.Of([.. new[] { (111, 1779), (40, 2492), (23, 5517.0) }.Select(p => new BatchPoint(p.Item1, p.Item2, 600 / Math.Sqrt(12) / p.Item2))])!;
        Assert.Equal((CriticalBatchFinding.Open, true), (fit.Finding, fit.HasValue));
        Assert.Equal(98, fit.CriticalBatch.Value, 10.0);
        Assert.True(fit.CriticalBatch.Low < 16 && double.IsPositiveInfinity(fit.CriticalBatch.High), $"{fit.CriticalBatch}");
    }

    [Fact]
    public void It_is_beyond_the_batches_only_where_all_of_its_interval_is() =>
        Gen.Select(Gen.Double[-2, 6], Gen.Double[0, 0.5], Gen.Double[-0.5, 0.5].Array[3, 6]).Always((logCritical, doubt, errors) =>
        {
            var fit = BatchFit.Of([.. errors.Select((e, i) => Point(40, Math.Pow(10, logCritical), 16 << (2 * i), Math.Exp(e), doubt))])!;
            var (critical, largest) = (fit.CriticalBatch, 16 << (2 * (errors.Length - 1)));
            Assert.Equal((16, largest, errors.Length), (Math.Round(fit.Smallest, 6), Math.Round(fit.Largest, 6), fit.Points));
            Assert.Equal(critical.IsBounded, fit.Finding == CriticalBatchFinding.Known);
            var (above, below) = (new BatchTrade(critical.Low).Change(largest / 2.0, largest).Steps, new BatchTrade(critical.High).Change(16, 32).Steps);
            switch (fit.Finding)
            {
                case CriticalBatchFinding.Above:
                    Assert.True(critical.Low >= largest - 1e-6 && above <= (2 / 3.0) + 1e-6, $"{critical}: doubling takes {above:P0} of the steps.");
                    break;
                case CriticalBatchFinding.Below:
                    Assert.True(critical.High <= 16 + 1e-6 && below >= 0.75 - 1e-6, $"{critical}: doubling takes {below:P0} of the steps.");
                    break;
                case CriticalBatchFinding.Open:
                    Assert.False(critical.IsBounded || critical.Low >= largest || critical.High <= 16, $"{critical}");
                    break;
            }
        });

    [Fact]
    public void A_critical_batch_among_the_batches_is_never_beyond_them_however_much_in_doubt() =>
        Gen.Select(Gen.Double[16, 512], Gen.Double[0.001, 2]).Always((critical, doubt) =>
        {
            var fit = BatchFit.Of([.. Batches.Select(b => Point(40, critical, b, 1, doubt))])!;
            Assert.True(fit.Finding is CriticalBatchFinding.Known or CriticalBatchFinding.Open && fit.HasValue, $"{fit.Finding}: {fit.CriticalBatch}");
            Assert.Equal(doubt, fit.Doubt, 1e-9);
        });

    [Fact]
    public void Two_points_or_points_of_two_batches_are_too_few()
    {
        Assert.Null(BatchFit.Of([]));
        Assert.Null(BatchFit.Of([.. Batches.Take(2).Select(b => Point(40, 100, b, 1))]));
        Assert.Null(BatchFit.Of([Point(40, 100, 16, 1), Point(40, 100, 16, 1.1), Point(40, 100, 32, 1)]));
    }

    private static BatchPoint Point(double steps, double critical, double batch, double factor, double doubt = 0)
    {
        var taken = steps * (1 + (critical / batch)) * factor;
        return new BatchPoint(taken, taken * batch, doubt);
    }

    private static int Holds(Estimate estimate, double truth) => estimate.Low <= truth && truth <= estimate.High ? 1 : 0;
}
