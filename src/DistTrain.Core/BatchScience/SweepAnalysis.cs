namespace DistTrain.Core.BatchScience;

/// <summary>What one run of a sweep did.</summary>
/// <param name="Cell">The run.</param>
/// <param name="Evaluations">Its evaluations, by step.</param>
/// <param name="HasDiverged">Whether it ended because its gradients were not finite any more.</param>
/// <param name="TrainingLoss">The mean loss of its steps after the last evaluation but one, as it was trained, dropout included.</param>
public sealed record CellOutcome(SweepCell Cell, IReadOnlyList<LossPoint> Evaluations, bool HasDiverged, double TrainingLoss)
{
    /// <summary>The lowest validation loss; infinite where there is none.</summary>
    public double BestLoss => Evaluations.Select(e => e.Loss).Where(double.IsFinite).DefaultIfEmpty(double.PositiveInfinity).Min();

    /// <summary>The last validation loss; not finite where there is none.</summary>
    public double FinalLoss => HasDiverged || Evaluations.Count == 0 ? double.PositiveInfinity : Evaluations[^1].Loss;

    /// <summary>The generalisation gap at its end: validation loss less training loss.</summary>
    public double Gap => FinalLoss - TrainingLoss;
}

/// <summary>The best rate of a batch.</summary>
/// <param name="Batch">The global batch.</param>
/// <param name="Best">The run that stands for those at the rate at which the target was reached with the fewest samples, or, where that was at none, the validation loss was the lowest: the one in their middle.</param>
/// <param name="Reading">When they reached the target, in the mean; null where one did not.</param>
/// <param name="IsLowest">Whether its rate is the lowest of several: a lower one may be better still.</param>
/// <param name="IsHighest">Whether it is the highest of several.</param>
public sealed record BatchResult(long Batch, CellOutcome Best, TargetReading? Reading, bool IsLowest, bool IsHighest)
{
    /// <summary>The runs at the best rate, one for each seed.</summary>
    public IReadOnlyList<CellOutcome> Runs { get; init; } = [Best];
}

/// <summary>What the batches of one optimizer did.</summary>
/// <param name="Optimizer">The update rule's name.</param>
/// <param name="Batches">By rising batch.</param>
/// <param name="Fit">The law through those that reached the target; null where they are too few.</param>
public sealed record OptimizerResult(string Optimizer, IReadOnlyList<BatchResult> Batches, BatchFit? Fit);

/// <summary>What a sweep tells.</summary>
/// <param name="Target">The validation loss that batches are compared at; not finite where no run has one.</param>
/// <param name="IsGiven">Whether a user gave it.</param>
/// <param name="Optimizers">By optimizer, in the order of its runs.</param>
public sealed record SweepAnalysis(double Target, bool IsGiven, IReadOnlyList<OptimizerResult> Optimizers)
{
    /// <summary>
    /// How much above what every batch reached the target is, where none is given: a loss that is hardly reached at all is reached by chance, and late.
    /// </summary>
    private const double Slack = 1.1;

    /// <summary>Compares runs.</summary>
    /// <param name="outcomes">The runs; at least one.</param>
    /// <param name="target">The validation loss to compare at; null for the lowest that all runs at the best rate of every batch have reached, and a tenth.</param>
    public static SweepAnalysis Of(IReadOnlyList<CellOutcome> outcomes, double? target)
    {
        var loss = target ?? CommonTarget(outcomes);
        return new SweepAnalysis(
            loss, target is not null,
            [.. outcomes.GroupBy(o => o.Cell.Optimizer).Select(group => OfOptimizer(group.Key, [.. group], loss))]);
    }

    private static double CommonTarget(IReadOnlyList<CellOutcome> outcomes)
    {
        // A batch of which no run learnt anything at all says nothing about the others.
        var reached = outcomes.GroupBy(o => (o.Cell.Optimizer, o.Cell.Batch)).Select(g => g.GroupBy(o => o.Cell.Rate).Min(r => r.Max(o => o.BestLoss))).Where(double.IsFinite).DefaultIfEmpty(double.PositiveInfinity).Max();
        if (!double.IsFinite(reached) || reached <= 0)
        {
            return reached;
        }

        // Runs that began with a state have to get clear of its loss.
        var began = outcomes.Where(o => o.Evaluations is [{ Samples: 0 }, ..]).Select(o => o.Evaluations[0].Loss).DefaultIfEmpty(double.PositiveInfinity).Min();
        var loss = Math.Min(Slack * reached, (reached + began) / 2);
        var unit = Math.Pow(10, Math.Floor(Math.Log10(loss)) - 2);
        return Math.Ceiling(loss / unit) * unit;
    }

    private static OptimizerResult OfOptimizer(string name, IReadOnlyList<CellOutcome> outcomes, double target)
    {
        var batches = outcomes.GroupBy(o => o.Cell.Batch).OrderBy(g => g.Key)
            .Select(g => (Batch: g.Key, Rates: (IReadOnlyList<RateResult>)[.. g.GroupBy(o => o.Cell.Rate).Select(r => RateResult.Of(r.Key, [.. r], target))])).ToList();
        IReadOnlyList<BatchResult> results = [.. batches.Select(b => OfBatch(b.Batch, b.Rates))];
        var fit = BatchFit.Of([.. results.Select(b => b.Reading).OfType<TargetReading>().Select(r => new BatchPoint(r.Steps, r.Samples, r.Doubt))]);
        return new OptimizerResult(name, results, fit is null ? null : SeedBootstrap.Widen(fit, [.. batches.Select(b => b.Rates)]));
    }

    private static BatchResult OfBatch(long batch, IReadOnlyList<RateResult> rates)
    {
        var best = rates.OrderBy(r => r.Mean?.Samples ?? double.PositiveInfinity).ThenBy(r => r.BestLoss).ThenBy(r => r.Rate).First();
        var isOneOfSeveral = rates.Count > 1;
        return new BatchResult(batch, best.Middle, best.Mean, isOneOfSeveral && best.Rate <= rates.Min(r => r.Rate), isOneOfSeveral && best.Rate >= rates.Max(r => r.Rate)) { Runs = best.Runs };
    }
}
