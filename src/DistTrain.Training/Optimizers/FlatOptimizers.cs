using DistTrain.Core.Options;

namespace DistTrain.Training.Optimizers;

/// <summary>The update rules by name.</summary>
public static class FlatOptimizers
{
    /// <summary>Creates the rule that a configuration names.</summary>
    /// <param name="options">Its options, valid.</param>
    /// <param name="count">Elements of the weights.</param>
    /// <param name="scales">Whether the rate follows the batch, and so may change at any step.</param>
    public static IFlatOptimizer Create(OptimizerOptions options, long count, bool scales = false) => options.Name switch
    {
        "sgd" => new Sgd(options, count),
        "adam" => new Adam(options, decoupled: false, count),
        "adamw" => new Adam(options, decoupled: true, count),
        "lars" => new Lars(options, count, scales),
        "lamb" => new Lamb(options, count),
        _ => throw new ArgumentException($"There is no optimizer {options.Name}.", nameof(options)),
    };
}
