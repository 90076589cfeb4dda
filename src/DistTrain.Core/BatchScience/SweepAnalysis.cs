namespace DistTrain.Core.BatchScience;

/// <summary>What one run of a sweep did.</summary>
/// <param name="Cell">The run.</param>
/// <param name="Evaluations">Its evaluations, by step.</param>
/// <param name="HasFailed">Whether it ended because its gradients were not finite any more.</param>
/// <param name="TrainingLoss">The mean loss of its steps after the last evaluation but one, as it was trained, dropout included.</param>
/// <param name="StartLoss">The loss of the model that it began with; null where that is not known.</param>
public sealed record CellOutcome(SweepCell Cell, IReadOnlyList<LossPoint> Evaluations, bool HasFailed, double TrainingLoss, double? StartLoss = null)
{
    /// <summary>A loss that ends so many times above the one that it began with has run away: a model that learns nothing stays near it.</summary>
    private const double RunsAway = 10;

    /// <summary>Whether its numbers were not finite any more at its end, or on the way there. It says nothing of its batch, whatever it had reached before.</summary>
    public bool HasDiverged => HasFailed || (Evaluations is [.., var last] && !(last.Loss <= RunsAway * (StartLoss ?? double.MaxValue / RunsAway)));

    /// <summary>The lowest validation loss; infinite where there is none, or it has diverged.</summary>
    public double BestLoss => HasDiverged ? double.PositiveInfinity : Evaluations.Select(e => e.Loss).Where(double.IsFinite).DefaultIfEmpty(double.PositiveInfinity).Min();

    /// <summary>The last validation loss; not finite where there is none.</summary>
    public double FinalLoss => HasDiverged || Evaluations.Count == 0 ? double.PositiveInfinity : Evaluations[^1].Loss;

    /// <summary>When it reached a validation loss; null where it did not, or has diverged, or there is no such loss.</summary>
    public TargetReading? ReadingAt(double loss) => HasDiverged || !double.IsFinite(loss) ? null : TargetReading.Of(Evaluations, loss);

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

    /// <summary>Whether every rate has a run that diverged: none is the best then.</summary>
    public bool HasDiverged => Runs.Any(r => r.HasDiverged);
}

/// <summary>What the batches of one optimizer did.</summary>
/// <param name="Optimizer">The update rule's name.</param>
/// <param name="Batches">By rising batch.</param>
/// <param name="Fit">The law through those that reached the target; null where they are too few.</param>
public sealed record OptimizerResult(string Optimizer, IReadOnlyList<BatchResult> Batches, BatchFit? Fit);

/// <summary>What a sweep tells.</summary>
/// <param name="Target">The validation loss that batches are compared at; not finite where no run came below that of the model it began with.</param>
/// <param name="IsGiven">Whether a user gave it.</param>
/// <param name="Optimizers">By optimizer, in the order of its runs.</param>
public sealed record SweepAnalysis(double Target, bool IsGiven, IReadOnlyList<OptimizerResult> Optimizers)
{
    /// <summary>
    /// How much above what every batch reached the target is, where none is given: a loss that is hardly reached at all is reached by chance, and late.
    /// </summary>
    private const double Slack = 1.1;

    /// <summary>How many digits a target has that was not given: as few as tell it from the loss of the model that the runs began with.</summary>
    private const int FewestDigits = 3;
    private const int MostDigits = 8;

    /// <summary>The loss of the model that the runs began with; null where that is not known.</summary>
    public double? StartLoss { get; private init; }

    /// <summary>Whether the target lies halfway to <see cref="StartLoss"/>, because a tenth above what every batch reached would be too near to it.</summary>
    public bool IsHalfway { get; private init; }

    /// <summary>Compares runs.</summary>
    /// <param name="outcomes">The runs; at least one.</param>
    /// <param name="target">
    /// The validation loss to compare at; null for the lowest that all runs at the best rate of every batch have reached, and a tenth, but below that of the model they began with.
    /// </param>
    public static SweepAnalysis Of(IReadOnlyList<CellOutcome> outcomes, double? target)
    {
        var start = StartOf(outcomes);
        var (loss, isHalfway) = target is { } given ? (given, false) : CommonTarget(outcomes, start);
        return new SweepAnalysis(
            loss, target is not null,
            [.. outcomes.GroupBy(o => o.Cell.Optimizer).Select(group => OfOptimizer(group.Key, [.. group], loss))])
        {
            StartLoss = start,
            IsHalfway = isHalfway,
        };
    }

    /// <summary>By the largest batch, whose first step saw the most samples, and of several seeds the lowest.</summary>
    private static double? StartOf(IReadOnlyList<CellOutcome> outcomes) =>
        outcomes.Where(o => o.StartLoss is { } loss && double.IsFinite(loss)).GroupBy(o => o.Cell.Batch).MaxBy(g => g.Key)?.Min(o => o.StartLoss);

    private static (double Loss, bool IsHalfway) CommonTarget(IReadOnlyList<CellOutcome> outcomes, double? start)
    {
        // A batch of which no run learnt anything at all says nothing about the others.
        var reached = outcomes.GroupBy(o => (o.Cell.Optimizer, o.Cell.Batch))
            .Select(g => g.GroupBy(o => o.Cell.Rate).Min(r => r.Max(o => o.BestLoss)))
            .Where(loss => loss < (start ?? double.PositiveInfinity))
            .DefaultIfEmpty(double.PositiveInfinity)
            .Max();
        if (!double.IsFinite(reached) || reached <= 0)
        {
            return (reached, false);
        }

        // Runs have to get clear of the loss that they began with; where that is not known, it was about that of their first evaluations.
        var began = start ?? outcomes.Where(o => !o.HasDiverged).Select(o => o.Evaluations.Select(e => e.Loss).FirstOrDefault(double.NaN)).Where(double.IsFinite).DefaultIfEmpty(double.PositiveInfinity).Max();
        var most = start is null ? began : (reached + began) / 2;
        var (loss, isHalfway) = (Math.Min(Slack * reached, most), start is not null && most < Slack * reached);
        for (var digits = FewestDigits; digits <= MostDigits; digits++)
        {
            var unit = Math.Pow(10, Math.Floor(Math.Log10(loss)) - digits + 1);
            if (Math.Ceiling(loss / unit) * unit is var rounded && rounded < began)
            {
                return (rounded, isHalfway);
            }
        }

        return (loss, isHalfway);
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
