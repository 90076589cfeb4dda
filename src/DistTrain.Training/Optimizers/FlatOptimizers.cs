using DistTrain.Core.Options;

namespace DistTrain.Training.Optimizers;

/// <summary>The update rules by name.</summary>
public static class FlatOptimizers
{
    /// <summary>Creates the rule that a configuration names.</summary>
    /// <param name="options">Its options, valid.</param>
    /// <param name="count">Elements of the weights.</param>
    public static IFlatOptimizer Create(OptimizerOptions options, long count) => options.Name switch
    {
        "sgd" => new Sgd(options, count),
        "adam" => new Adam(options, decoupled: false, count),
        "adamw" => new Adam(options, decoupled: true, count),
        "lars" => new Lars(options, count),
        "lamb" => new Lamb(options, count),
        _ => throw new ArgumentException($"There is no optimizer {options.Name}.", nameof(options)),
    };
}
