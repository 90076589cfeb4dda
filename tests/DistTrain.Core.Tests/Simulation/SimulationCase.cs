using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>Everything that decides a history. Of a seed there is one.</summary>
/// <param name="Seed">All there is of chance.</param>
/// <param name="Options">The run's configuration.</param>
/// <param name="TrainingSamples">Samples of the training data.</param>
/// <param name="ValidationSamples">Samples of the validation data.</param>
/// <param name="MostWorkers">How many workers there are at once, at most.</param>
/// <param name="Faults">How often something goes wrong.</param>
/// <param name="LinksPerSlow">Of how many links one is slow, on average.</param>
/// <param name="Bug">What is wrong with the program.</param>
/// <param name="IsAuto">Whether the workers have to find the size of micro-batches.</param>
internal sealed record SimulationCase(
    int Seed, RunOptions Options, long TrainingSamples, long ValidationSamples, int MostWorkers, int Faults, int LinksPerSlow,
    PlantedBug Bug, bool IsAuto)
{
    public const int MaxWorkers = 16;
    public const int MaxBlocks = 64;

    public static SimulationCase Of(int seed, PlantedBug bug = PlantedBug.None)
    {
        var random = new Random(~seed);
        var most = random.Next(3) switch { 0 => random.Next(1, 4), 1 => random.Next(2, 7), _ => random.Next(2, MaxWorkers + 1) };
        var blocks = random.Next(1, (random.Next(6) == 0 ? MaxBlocks : 12) + 1);
        var micro = random.Next(1, 5);
        var global = (blocks * micro) + random.Next(0, micro * 3);
        var options = new RunOptions
        {
            Workers = random.Next(1, most + 1),
            Batch = new BatchOptions { Global = global, Micro = micro, Blocks = blocks },
            Stop = new StopOptions { Epochs = random.Next(1, 4) },
            Evaluate = new EvaluateOptions { EveryEpochs = random.Next(0, 2), EverySteps = random.Next(0, 4) },
            Checkpoint = new CheckpointOptions { EverySteps = random.Next(0, 4), Keep = random.Next(1, 4) },
        };
        var training = (global * random.NextInt64(0, 6)) + random.Next(1, global + 1);
        return new SimulationCase(seed, options, training, random.Next(4) == 0 ? 0 : random.Next(1, 40), most, random.Next(0, 21), 1 << random.Next(1, 5), bug, random.Next(4) == 0);
    }

    /// <summary>The limits of its one setting.</summary>
    public Timeouts Timeouts => new(Options.FailureDetection);

    /// <summary>The configuration that the run is given.</summary>
    public RunOptions Given => IsAuto ? Options with { Batch = Options.Batch with { Micro = 0 } } : Options;

    public RunCourse Course() => new(Options, TrainingSamples, ValidationSamples);

    public override string ToString() =>
        $"seed {Seed}: {Options.Workers} workers to begin with and at most {MostWorkers}, global batch {Options.Batch.Global}, micro {(IsAuto ? "to be found" : Options.Batch.Micro)}, "
        + $"blocks {Options.Batch.Blocks}, {TrainingSamples} + {ValidationSamples} samples, {Options.Stop.Epochs} epochs, checkpoint every {Options.Checkpoint.EverySteps} steps, "
        + $"evaluation every {Options.Evaluate.EverySteps} steps, {Faults} faults, one slow link of {LinksPerSlow}{(Bug == PlantedBug.None ? "" : $", planted bug {Bug}")}";
}
