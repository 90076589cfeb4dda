using DistTrain.Views;

namespace DistTrain.Auditing;

/// <summary>Whether evaluations are where they are due, of the weights of their steps.</summary>
internal static class EvaluationCheck
{
    /// <summary>Checks them. The one after the last step may be missing while the run is not completed.</summary>
    public static Finding Check(RunEvidence evidence, Lineage lineage, ExpectedCourse course)
    {
        var present = evidence.Evaluations.Lines.Select(e => e.Step).ToHashSet();
        var missing = from due in course.DueEvaluations
                      where !present.Contains(due) && (due < lineage.Last || evidence.Summary?.Status == SummaryStatus.Completed)
                      select $"evaluations.jsonl has none after step {due}, where one is due.";
        return Finding.Of("evaluations", missing.Concat(evidence.Evaluations.Lines.SelectMany(Wrong)), () =>
            $"{Words.Count(present.Count, "evaluation")} of {Words.Count(course.Sizes.Validation, "sample")}, each where it is due and of its step's weights.");

        IEnumerable<string> Wrong(EvaluationLine line)
        {
            var place = $"evaluations.jsonl, step {line.Step}";
            if (!course.Evaluations.ContainsKey(line.Step) || !lineage.Steps.TryGetValue(line.Step, out var step))
            {
                yield return $"{place}: no evaluation is due there.";
            }
            else if (line.Samples != course.Sizes.Validation)
            {
                yield return $"{place}: samples is {line.Samples:N0}, and the validation data hold {course.Sizes.Validation:N0}.";
            }
            else if (line.WeightsHash != step.WeightsHash)
            {
                yield return $"{place}: it is of weights {line.WeightsHash}, and metrics.jsonl has {step.WeightsHash}.";
            }
        }
    }
}
