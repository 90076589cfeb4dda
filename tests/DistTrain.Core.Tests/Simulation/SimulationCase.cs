using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Core.Schedules;

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
        var micro = random.Next(1, random.Next(4) == 0 ? 17 : 5);
        var global = (blocks * micro) + random.Next(0, micro * 3);
        var schedule = ScheduleOf(~seed, global, micro * blocks);
        var gain = GainOf(~seed, global, schedule);
        var options = new RunOptions
        {
            Workers = random.Next(1, most + 1),
            Batch = new BatchOptions { Global = global, Micro = micro, Blocks = blocks, Schedule = schedule },
            Schedule = gain,
            Stop = new StopOptions { Epochs = random.Next(1, 4) * (schedule.Name == BatchScheduleOptions.Noise ? 4 : 1), Patience = seed % 5 == 0 ? 1 + (seed % 3) : 0 },
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

    /// <summary>The same with steps of one size, to its end.</summary>
    public SimulationCase Constant() => this with { Options = Options with { Batch = Options.Batch with { Schedule = new BatchScheduleOptions() }, Schedule = new ScheduleOptions(), Stop = Options.Stop with { Patience = 0 } } };

    /// <summary>Two in five keep the batch; drawn apart, so that a seed stays the same history otherwise.</summary>
    private static BatchScheduleOptions ScheduleOf(int seed, int global, int most)
    {
        var random = new Random(seed ^ 0x5ca1ab1e);
        return random.Next(5) switch
        {
            0 => new BatchScheduleOptions
            {
                Name = BatchScheduleOptions.InStages,
                Stages = new Dictionary<string, long> { [$"{random.Next(1, 4)} steps"] = random.Next(1, most + 1), [$"{random.Next(4, 7)} steps"] = random.Next(1, most + 1) },
            },
            1 => new BatchScheduleOptions { Name = BatchScheduleOptions.Plateau, Patience = random.Next(1, 3), Most = global + random.Next(most + 1), Factor = 1.5 },
            2 => new BatchScheduleOptions { Name = BatchScheduleOptions.Noise, First = 1, Most = global + random.Next(most + 1), EverySteps = random.Next(1, 3), Factor = 1.5 },
            _ => new BatchScheduleOptions(),
        };
    }

    /// <summary>In about one of four runs the rate follows the gain, and the run ends by it, where that does not make it too long; drawn apart as well.</summary>
    private static ScheduleOptions GainOf(int seed, int global, BatchScheduleOptions schedule)
    {
        var random = new Random(seed ^ 0x6a17);
        var (smallest, largest) = schedule.Name switch
        {
            BatchScheduleOptions.InStages => (Math.Min(global, schedule.Stages.Values.Min()), Math.Max(global, schedule.Stages.Values.Max())),
            BatchScheduleOptions.Noise => (schedule.First, schedule.Most),
            _ => (global, Math.Max(global, schedule.Most)),
        };
        var (name, reference) = (random.Next(2) == 0 ? "cosine" : "constant", Math.Max(1, smallest / random.Next(1, 5)));
        return random.Next(3) > 0 || largest > 8 * reference ? new ScheduleOptions() : new ScheduleOptions { Name = name, Scaling = AdaScaleProgress.Name, ReferenceBatch = reference };
    }

    public override string ToString() =>
        $"seed {Seed}: {Options.Workers} workers to begin with and at most {MostWorkers}, global batch {Options.Batch.Global} ({Options.Batch.Schedule.Name}{(Options.Schedule.Scaling == AdaScaleProgress.Name ? $", adascale to {Options.Schedule.ReferenceBatch}" : "")}), micro {(IsAuto ? "to be found" : Options.Batch.Micro)}, "
        + $"blocks {Options.Batch.Blocks}, {TrainingSamples} + {ValidationSamples} samples, {Options.Stop.Epochs} epochs, checkpoint every {Options.Checkpoint.EverySteps} steps, "
        + $"evaluation every {Options.Evaluate.EverySteps} steps, {Faults} faults, one slow link of {LinksPerSlow}{(Bug == PlantedBug.None ? "" : $", planted bug {Bug}")}";
}
