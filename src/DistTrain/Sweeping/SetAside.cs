using DistTrain.Core.Options;

namespace DistTrain.Sweeping;

/// <summary>What of a configuration a sweep goes by something else for.</summary>
internal static class SetAside
{
    /// <summary>Says what is set aside that was set to something, and why, in one sentence; null where that is nothing.</summary>
    /// <param name="options">The configuration.</param>
    /// <param name="branch">The checkpoint that the runs begin with; null for none.</param>
    public static string? Sentence(RunOptions options, BranchPoint? branch)
    {
        var (batch, stop, every) = (options.Batch, options.Stop, options.Evaluate);
        var isOnlyAtTheEnd = every is { EveryEpochs: 0, EverySteps: 0, EverySamples: 0 };
        IEnumerable<string?> parts =
        [
            Part("a run keeps the batch that it shows", (batch.Schedule.Name != BatchScheduleOptions.Constant, "batch.schedule", batch.Schedule.Name)),
            Part("the runs have other steps", (batch.MicroFrom.Count > 0, "batch.microFrom", string.Join(", ", batch.MicroFrom.Keys))),
            Part("--rates says what each batch is tried with", (options.Schedule.Scaling != "none", "schedule.scaling", options.Schedule.Scaling)),
            Part("a run ends at --target or when its samples are used", (stop.Patience > 0, "stop.patience", stop.Patience), (stop.ValidationLoss > 0, "stop.validationLoss", stop.ValidationLoss)),
            Part(
                "every batch is evaluated after as many samples, as many as evaluate.everySamples says",
                (isOnlyAtTheEnd || every.EveryEpochs > new EvaluateOptions().EveryEpochs, "evaluate.everyEpochs", every.EveryEpochs), (every.EverySteps > 0, "evaluate.everySteps", every.EverySteps)),
            .. branch is null ? [] : Branched(options, branch),
        ];
        var told = string.Join("; ", parts.OfType<string>());
        return told.Length == 0 ? null : $"Set aside: {told}.";
    }

    private static IEnumerable<string?> Branched(RunOptions options, BranchPoint branch)
    {
        var (rule, began) = (options.Optimizer, branch.Began.Optimizer);
        yield return Part($"the runs go on with the rate at the checkpoint, {branch.Numbers.Rate:G4}; --rates says others", (rule.Name == began.Name && rule.LearningRate != began.LearningRate, "optimizer.learningRate", rule.LearningRate));
        yield return Part($"multiples of the rate are taken from the batch at the checkpoint, {branch.Batch}", (options.Batch.Global != branch.Began.Batch.Global, "batch.global", options.Batch.Global));
    }

    private static string? Part(string reason, params ReadOnlySpan<(bool IsSet, string Key, object Value)> keys)
    {
        var told = new List<string>();
        foreach (var (isSet, key, value) in keys)
        {
            if (isSet)
            {
                told.Add($"{key} ({value})");
            }
        }

        return told.Count == 0 ? null : $"{string.Join(" and ", told)}, because {reason}";
    }
}
