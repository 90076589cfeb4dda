using DistTrain.Core.Schedules;

namespace DistTrain.Core.Options;

/// <summary>What is needed for the noise of gradients to show: a step of two blocks or more, which are compared.</summary>
public static class NoiseRules
{
    internal const string OneBlock = "the blocks of a step are compared, and one block shows no noise";

    /// <summary>The largest size of micro-batches by which the noise that a run measures shows in every full step that matters; null where it measures none.</summary>
    /// <param name="options">The configuration.</param>
    /// <param name="dataSize">Samples in the training data, at least 1.</param>
    public static long? MostMicro(RunOptions options, long dataSize) =>
        options.MeasuresNoise ? Math.Max(1, Math.Min(options.FollowsNoise ? SmallestOf(options.Batch) : options.Batch.Global, dataSize) / 2) : null;

    /// <summary>What a batch that follows the noise scale needs. What adascale needs is the same, and it says so itself.</summary>
    internal static IEnumerable<OptionProblem> Check(RunOptions options)
    {
        const string Following = $"to follow the noise scale {OneBlock}";
        var (batch, first) = (options.Batch, options.Batch.Schedule.First);
        if (batch.Schedule.Name != BatchScheduleOptions.Noise || options.Schedule.Scaling == AdaScaleProgress.Name)
        {
            yield break;
        }

        if (batch.Blocks == 1)
        {
            yield return new OptionProblem("batch.blocks", "1", $"{Following}; set it to 2 or more");
        }

        // A size that the workers find is made small enough for the first batch.
        var micro = batch.IsAuto ? 1 : batch.Micro;
        if (first >= 1 && first <= micro && first <= batch.Global)
        {
            string[] remedies =
            [
                .. 2L * micro <= batch.Global ? [$"set it to {2L * micro} or more"] : Array.Empty<string>(),
                .. first > 1 ? [$"lower batch.micro, which is {micro}, to {first / 2} or less"] : Array.Empty<string>(),
            ];
            yield return new OptionProblem("batch.schedule.first", $"{first}", $"{Following}; {(remedies.Length > 0 ? string.Join(", or ", remedies) : "raise it and batch.global to two micro-batches")}");
        }
    }

    /// <summary>The smallest batch that the configuration lets the run come to.</summary>
    internal static long SmallestOf(BatchOptions batch) => batch.Schedule.Name switch
    {
        BatchScheduleOptions.InStages => batch.Schedule.Stages.Values.Append(batch.Global).Min(),
        BatchScheduleOptions.Warmup or BatchScheduleOptions.Noise when batch.Schedule.First > 0 => Math.Min(batch.Global, batch.Schedule.First),
        _ => batch.Global,
    };
}
