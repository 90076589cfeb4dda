using DistTrain.Core.Journals;

namespace DistTrain.Auditing;

/// <summary>How many samples the run's data hold, from the surest place that says so.</summary>
/// <param name="Training">Samples of an epoch.</param>
/// <param name="Validation">Samples of an evaluation.</param>
/// <param name="Source">Which place that was.</param>
internal sealed record DataSizes(long Training, long Validation, string Source)
{
    /// <summary>Finds them; null where nothing says so.</summary>
    public static DataSizes? Of(RunEvidence evidence, Lineage lineage)
    {
        var proof = evidence.Journal?.Entries.OfType<JournalEntry.Reference>().FirstOrDefault()?.Proof;
        if (proof is { TrainingSamples: > 0, ValidationSamples: >= 0 })
        {
            return new DataSizes(proof.TrainingSamples, proof.ValidationSamples, "the journal");
        }

        var evaluated = evidence.Evaluations.Lines.Count > 0 ? evidence.Evaluations.Lines[0].Samples : 0;
        if (evidence.Summary?.TrainingSamples is { } training and > 0)
        {
            return new DataSizes(training, Math.Max(0, evidence.Summary.ValidationSamples ?? evaluated), "summary.json");
        }

        // The first step of the second epoch follows the whole first one.
        var second = lineage.Steps.Values.FirstOrDefault(s => s.Epoch > 0);
        return second is not null && lineage.Steps.TryGetValue(second.Step - 1, out var last) && last.Samples > 0
            ? new DataSizes(last.Samples, Math.Max(0, evaluated), "the first epoch of metrics.jsonl")
            : null;
    }
}
