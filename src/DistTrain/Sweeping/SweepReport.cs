using DistTrain.Core.BatchScience;
using DistTrain.Views;

namespace DistTrain.Sweeping;

/// <summary>What a sweep found out: the runs, compared, and what follows in words.</summary>
/// <param name="Settings">What was asked for, with the runs of earlier commands.</param>
/// <param name="Results">The runs.</param>
/// <param name="Analysis">Their comparison.</param>
internal sealed record SweepReport(SweepSettings Settings, IReadOnlyList<CellResult> Results, SweepAnalysis Analysis)
{
    /// <summary>The part by which samples exceed the least at a batch that is still called efficient (arXiv 2410.21676).</summary>
    private const double Efficient = 0.2;

    /// <summary>Compares the runs of a sweep.</summary>
    /// <param name="settings">What was asked for.</param>
    /// <param name="results">All runs, those of earlier commands included.</param>
    public static SweepReport Of(SweepSettings settings, IReadOnlyList<CellResult> results) =>
        new(settings with { Cells = [.. results.Select(r => r.Outcome.Cell)] }, results, SweepAnalysis.Of([.. results.Select(r => r.Outcome)], settings.Target));

    /// <summary>The seconds that the runs at the best rate of a batch took to the target, in the mean; null where one did not get there.</summary>
    public double? SecondsTo(BatchResult batch) =>
        batch.Reading is null ? null : batch.Runs.Average(r => Of(r).SecondsTo(r.ReadingAt(Analysis.Target)));

    /// <summary>What a run left.</summary>
    public CellResult Of(CellOutcome outcome) => Results.Single(r => r.Outcome.Cell == outcome.Cell);

    /// <summary>What the runs are compared at.</summary>
    public string Frame => !double.IsFinite(Analysis.Target)
        ? Nothing
        : (Settings.Branch is { } branch ? $"From step {branch.Step:N0} of {branch.Run}, at a rate of {Words.Number(branch.Numbers.Rate)} and a batch of {branch.Batch:N0}{(branch.Loss is { } loss ? $", a validation loss of {Words.Number(loss)}" : "")}: steps" : "Steps")
            + $" and samples to a validation loss of {Words.Number(Analysis.Target)}{(Analysis.IsGiven ? "" : Origin)}"
            + $". {Words.Count(Results.Count, "run")} of at most {Settings.Samples:N0} samples in the same order{Seeds}, "
            + (Settings.Branch is not null ? "a constant rate" : Settings.KeepsSchedule && Settings.Options.Schedule.Name != "constant" ? $"a {Settings.Options.Schedule.Name} schedule" : "a constant rate after the warm-up")
            + $", evaluated every {Settings.EvaluateEvery:N0} samples.";

    private string Seeds => Settings.Seeds < Settings.MostSeeds ? $" with {Settings.Seeds} to {Settings.MostSeeds} seeds for a batch and rate" : Settings.Seeds > 1 ? $" for each of {Settings.Seeds} seeds" : "";

    /// <summary>Why there is no loss to compare at.</summary>
    private string Nothing => Results.All(r => r.Outcome.HasDiverged) ? "Every run diverged: give lower --rates."
        : Analysis.StartLoss is { } start && Results.Any(r => double.IsFinite(r.Outcome.BestLoss))
            ? $"No run came below the loss of {Beginning}, {Words.Number(start)}: allow more --samples, or give other --rates."
        : "No run has a validation loss.";

    /// <summary>Where the loss to compare at comes from that was not given.</summary>
    private string Origin
    {
        get
        {
            var reached = Settings.MostSeeds > 1 ? "all runs at the best rate of every batch reached" : "the best run of every batch reached";
            return Settings.Branch is not null ? $", which {reached}"
                : Analysis.IsHalfway && Analysis.StartLoss is { } start ? $", halfway between that of {Beginning}, {Words.Number(start)}, and the lowest that {reached}"
                : $", a tenth above the lowest that {reached}";
        }
    }

    private string Beginning => Settings.Branch is null ? "the untrained model" : "the checkpoint";

    /// <summary>What the law of an optimizer says, in sentences.</summary>
    public static string Sentence(OptimizerResult optimizer)
    {
        if (optimizer.Fit is not { } fit)
        {
            return $"{optimizer.Optimizer}: {Missing(optimizer.Batches.Count, optimizer.Batches.Count(b => b.Reading is not null))}";
        }

        var critical = fit.CriticalBatch;
        return $"{optimizer.Optimizer}: the critical batch " + fit.Finding switch
        {
            CriticalBatchFinding.Above => $"is {critical} samples: up to the largest batch that was tried, {Words.Samples(fit.Largest)}, doubling still saves at least {Saved(critical.Low, fit.Largest / 2):P0} of the steps, "
                + "and half would be the most. Try larger ones.",
            CriticalBatchFinding.Below => $"is {critical} samples: from the smallest batch that was tried on, {Words.Samples(fit.Smallest)}, doubling saves at most {Saved(critical.High, fit.Smallest):P0} of the steps. Try smaller ones.",
            CriticalBatchFinding.Open => $"is not known: {(fit.HasValue ? $"the fit has {Words.Samples(critical.Value)} samples, but its" : "its")} interval of 95 % is open "
                + $"({(critical.Low > 0 ? Words.Samples(critical.Low) : "0")} to {(double.IsFinite(critical.High) ? Words.Samples(critical.High) : "infinity")}), as {Blur(fit)}.",
            _ => $"is {critical} samples. There a run takes twice the least steps, which are {fit.LeastSteps}, and twice the least samples, which are {fit.LeastSamples}. "
                + $"Up to a batch of {Words.Samples(Efficient * critical.Value)} a run takes at most {Efficient:P0} more than the least samples, from {Words.Samples(critical.Value / Efficient)} on at most {Efficient:P0} more than the least steps.",
        };

        static double Saved(double critical, double batch) => 1 - new BatchTrade(critical).Change(batch, 2 * batch).Steps;

        // What widens the interval most is what helps most.
        static string Blur(BatchFit fit) => fit.Scatter > fit.Doubt
            ? $"the {fit.Points} points scatter by {fit.Scatter:P0}: give more --batches, further apart, more --rates, or --seeds"
            : $"the {fit.Points} points are read to within {fit.Doubt:P0} only, between two evaluations: set evaluate.everySamples to less, give a lower --target, or more --batches, further apart";
    }

    /// <summary>What a fit lacks.</summary>
    private static string Missing(int tried, int reached)
    {
        const string reach = "allow more --samples, or give a higher --target";
        return tried < BatchFit.FewestPoints
            ? $"{(tried == 1 ? "one batch says" : $"{tried} batches say")} nothing of a critical batch: at least {BatchFit.FewestPoints} --batches are needed"
                + (reached == tried ? "." : $", and {(reached == 0 ? "none" : $"only {reached}")} of these reached the loss: {reach}, too.")
            : reached < BatchFit.FewestPoints ? $"fewer than {BatchFit.FewestPoints} batches reached the loss, so nothing can be said of a critical batch: {reach}."
            : $"the steps of fewer than {BatchFit.FewestPoints} batches differ, as one above the training samples takes all of them, so nothing can be said of a critical batch: give smaller --batches.";
    }

    /// <summary>What to do next, and what to keep in mind, in sentences.</summary>
    public IEnumerable<string> Advice()
    {
        foreach (var optimizer in Analysis.Optimizers)
        {
            var (lowest, highest, missed) = (
                Batches(optimizer, b => b.IsLowest && b.Reading is not null), Batches(optimizer, b => b.IsHighest && b.Reading is not null), Batches(optimizer, b => b.Reading is null));
            var diverged = Results.Select(r => r.Outcome).Where(o => o.Cell.Optimizer == optimizer.Optimizer && o.HasDiverged).Select(o => o.Cell).GroupBy(c => c.Batch).OrderBy(g => g.Key)
                .Select(g => $"batch {g.Key:N0} at {string.Join(", ", g.Select(c => c.Rate).Distinct().Order().Select(Words.Number))}").ToList();
            if (diverged.Count > 0)
            {
                yield return $"{optimizer.Optimizer}: runs diverged, and count for nothing: {string.Join("; ", diverged)}.";
            }

            if (lowest.Length > 0)
            {
                yield return $"{optimizer.Optimizer}: the lowest rate was the best at batch {lowest}: a lower one may be better still. More --rates with the same --out train only what is new.";
            }

            if (highest.Length > 0)
            {
                yield return $"{optimizer.Optimizer}: the highest rate was the best at batch {highest}: a higher one may be better still. More --rates with the same --out train only what is new.";
            }

            if (missed.Length > 0)
            {
                yield return $"{optimizer.Optimizer}: no run of batch {missed} reached the loss.";
            }
        }

        if (Analysis.IsGiven && Analysis.Target >= Analysis.StartLoss)
        {
            yield return $"The loss of {Beginning} is {Words.Number(Analysis.StartLoss!.Value)}, so that a run is at a --target of {Words.Number(Analysis.Target)} from its beginning: give a lower one.";
        }

        if (Settings.Cells.Max(c => c.Batch) is var largest && largest > Settings.TrainingSamples)
        {
            yield return $"Batch {largest:N0} is larger than the {Settings.TrainingSamples:N0} training samples: a step takes all of them.";
        }

        if (Math.Min(Settings.Parallel, Settings.Cells.Count) is > 1 and var together)
        {
            yield return $"Up to {together} runs shared this machine: seconds compare batches with each other, not with a run that has it alone.";
        }
    }

    private static string Batches(OptimizerResult optimizer, Func<BatchResult, bool> which) => string.Join(", ", optimizer.Batches.Where(which).Select(b => $"{b.Batch:N0}"));
}
