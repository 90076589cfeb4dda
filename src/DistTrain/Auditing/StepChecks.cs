using DistTrain.Views;

namespace DistTrain.Auditing;

/// <summary>Whether the steps are those of the configuration, each once.</summary>
internal static class StepChecks
{
    /// <summary>Rates are computed by the platform's cosine: another platform's may differ in the last digits.</summary>
    private const double RateTolerance = 1e-12;

    /// <summary>The surviving steps are 1 to the last, without gap.</summary>
    public static Finding Steps(RunEvidence evidence, Lineage lineage)
    {
        var problems = new List<string>();
        var expected = 1L;
        foreach (var step in lineage.Steps.Keys)
        {
            if (step != expected)
            {
                problems.Add(step < 1 ? $"metrics.jsonl holds a step {step}: steps count from 1." : $"metrics.jsonl has no step {expected}, and goes on with step {step}.");
            }

            expected = step + 1;
        }

        var again = evidence.Steps.Lines.Count - lineage.Steps.Count;
        return Finding.Of("steps", problems, () => lineage.Last == 0
            ? "no step was completed."
            : $"1 to {lineage.Last:N0} without gap{(again == 0 ? "" : $"; {Words.Count(again, "line")} of steps that were computed again {(again == 1 ? "is" : "are")} replaced by later ones")}.");
    }

    /// <summary>Every line takes the samples that are its step's: so each sample is used exactly once an epoch.</summary>
    public static Finding Samples(RunEvidence evidence, ExpectedCourse course)
    {
        var problems = new List<string>();
        foreach (var line in evidence.Steps.Lines)
        {
            if (!course.Steps.TryGetValue(line.Step, out var step))
            {
                problems.Add($"metrics.jsonl holds step {line.Step:N0}, and the run has {Words.Count(course.Course.TotalSteps, "step")}.");
                continue;
            }

            var (samples, taken) = (course.SamplesOf(line.Step), step.Samples);
            if (line.Epoch != taken.Epoch)
            {
                problems.Add(Other("epoch", line.Epoch, taken.Epoch));
            }
            else if (line.GlobalBatch != taken.Count)
            {
                problems.Add(Other("globalBatch", line.GlobalBatch, taken.Count));
            }
            else if (line.Samples != samples)
            {
                problems.Add(Other("samples", line.Samples, samples));
            }
            else if (line.MicroBatch != step.Geometry.Micro)
            {
                problems.Add(Other("microBatch", line.MicroBatch, step.Geometry.Micro));
            }

            string Other(string field, long found, long right) =>
                $"metrics.jsonl, step {line.Step}: {field} is {found}, and {right} by the configuration and {Words.Count(course.Sizes.Training, "training sample")}.";
        }

        return Finding.Of("samples", problems, () =>
            $"each step takes its own of {Words.Count(course.Sizes.Training, "training sample")} (from {course.Sizes.Source}): every sample is used once an epoch.");
    }

    /// <summary>The learning rates are those of the schedule.</summary>
    public static Finding Rates(RunEvidence evidence, ExpectedCourse course)
    {
        var problems = from line in evidence.Steps.Lines
                       let step = course.Steps.GetValueOrDefault(line.Step)
                       where step is not null && Math.Abs(line.Lr - step.LearningRate) > RateTolerance * Math.Max(Math.Abs(line.Lr), Math.Abs(step.LearningRate))
                       select $"metrics.jsonl, step {line.Step}: lr is {line.Lr:R}, and {step.LearningRate:R} by the schedule.";
        return Finding.Of("rates", problems, () => "the learning rate of every step is the schedule's.");
    }

    /// <summary>What was computed again has the same bits.</summary>
    public static Finding Again(RunEvidence evidence, Lineage lineage)
    {
        const string check = "again";
        var again = evidence.Steps.Lines.Where(l => !ReferenceEquals(lineage.Steps[l.Step], l)).ToList();
        if (again.Count > 0 && evidence.Options is { AllowMixedHosts: true } or { Debug.FoldPerWorker: true })
        {
            return Finding.Unchecked(check, $"{Words.Count(again.Count, "step")} computed again may have other weights: this run promises no equal bits.");
        }

        var problems = from line in again
                       let last = lineage.Steps[line.Step]
                       where line.WeightsHash != last.WeightsHash
                       select $"metrics.jsonl, step {line.Step}: the weights were {line.WeightsHash} in generation {line.Generation}, and {last.WeightsHash} when it was computed again.";
        return Finding.Of(check, problems, () => again.Count == 0 ? "no step is written down with other weights than before." : $"{Words.Count(again.Count, "step")} computed again had the same weights.");
    }
}
