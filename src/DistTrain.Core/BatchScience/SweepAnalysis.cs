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

/// <summary>The best run of a batch.</summary>
/// <param name="Batch">The global batch.</param>
/// <param name="Best">The run that reached the target with the fewest samples; where none did, the one with the lowest validation loss.</param>
/// <param name="Reading">When it reached the target; null where it did not.</param>
/// <param name="IsLowest">Whether its rate is the lowest of several: a lower one may be better still.</param>
/// <param name="IsHighest">Whether it is the highest of several.</param>
public sealed record BatchResult(long Batch, CellOutcome Best, TargetReading? Reading, bool IsLowest, bool IsHighest);

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
    /// <param name="target">The validation loss to compare at; null for the lowest that the best run of every batch has reached, and a tenth.</param>
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
        var reached = outcomes.GroupBy(o => (o.Cell.Optimizer, o.Cell.Batch)).Select(g => g.Min(o => o.BestLoss)).Where(double.IsFinite).DefaultIfEmpty(double.PositiveInfinity).Max();
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
        IReadOnlyList<BatchResult> batches = [.. outcomes.GroupBy(o => o.Cell.Batch).OrderBy(g => g.Key).Select(g => OfBatch(g.Key, [.. g], target))];
        return new OptimizerResult(
            name, batches, BatchFit.Of([.. batches.Select(b => b.Reading).OfType<TargetReading>().Select(r => new BatchPoint(r.Steps, r.Samples, r.Doubt))]));
    }

    private static BatchResult OfBatch(long batch, IReadOnlyList<CellOutcome> outcomes, double target)
    {
        var (best, reading) = outcomes
            .Select(o => (Outcome: o, Reading: TargetReading.Of(o.Evaluations, target)))
            .OrderBy(o => o.Reading?.Samples ?? double.PositiveInfinity)
            .ThenBy(o => o.Outcome.BestLoss)
            .ThenBy(o => o.Outcome.Cell.Rate)
            .First();
        var rates = outcomes.Select(o => o.Cell.Rate).ToList();
        var isOneOfSeveral = rates.Count > 1;
        return new BatchResult(batch, best, reading, isOneOfSeveral && best.Cell.Rate <= rates.Min(), isOneOfSeveral && best.Cell.Rate >= rates.Max());
    }
}
