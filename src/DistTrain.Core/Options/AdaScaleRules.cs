using DistTrain.Core.Schedules;

namespace DistTrain.Core.Options;

/// <summary>What <c>schedule.scaling: adascale</c> needs of other keys.</summary>
internal static class AdaScaleRules
{
    private const string Scaling = "schedule.scaling";
    private const string OneBlock = $"with adascale {NoiseRules.OneBlock}";

    /// <summary>The mistakes.</summary>
    public static IEnumerable<OptionProblem> Check(RunOptions options)
    {
        if (options.Schedule.Scaling != AdaScaleProgress.Name)
        {
            yield break;
        }

        if (options.Optimizer.Name != "sgd")
        {
            yield return new OptionProblem(
                Scaling, AdaScaleProgress.Name,
                $"is for sgd, which moves by the gradient itself, and optimizer.name is {options.Optimizer.Name}; name sgd, or take scaling {(options.Optimizer.Name == "lars" ? "linear" : "sqrt")}");
        }

        if (options.Stop is { Steps: > 0, Epochs: 0, Samples: 0 })
        {
            yield return OptionProblem.Missing(
                "stop.epochs", "with adascale a run is as long as one of the reference batch, and how far that comes in so many steps is not known; set stop.epochs or stop.samples, and stop.steps beside it for a limit");
        }

        var (smallest, batch) = (NoiseRules.SmallestOf(options.Batch), options.Batch);
        if (smallest < BatchScaling.ReferenceOf(options))
        {
            yield return options.Schedule.ReferenceBatch > 0
                ? new OptionProblem("schedule.referenceBatch", $"{options.Schedule.ReferenceBatch}", $"must be at most the smallest batch of the run with adascale, which is {smallest}: a gain is what a larger batch is worth")
                : OptionProblem.Missing("schedule.referenceBatch", $"with adascale it must be at most the smallest batch of the run, which is {smallest}: a gain is what a larger batch is worth");
        }

        if (batch.Blocks == 1)
        {
            yield return new OptionProblem("batch.blocks", "1", $"{OneBlock}; set it to 2 or more");
        }

        if (!batch.IsAuto && batch.Micro >= smallest)
        {
            yield return new OptionProblem("batch.micro", $"{batch.Micro}", $"{OneBlock}, and the smallest batch of the run is {smallest}; set it to {Math.Max(1, smallest / 2)} or less");
        }
    }
}
