using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Core.Schedules;

namespace DistTrain.Sweeping;

/// <summary>What a sweep is asked to do.</summary>
internal sealed record SweepSettings
{
    /// <summary>
    /// An evaluation takes about a third of the training of as many samples; so often, it adds a fifth to a run.
    /// </summary>
    private const double SamplesPerEvaluated = 5.0 / 3;

    /// <summary>More evaluations of a run say no more.</summary>
    private const long MostEvaluations = 400;

    /// <summary>How often a run of the sweep writes a checkpoint, for a sweep that is killed to lose no more than such a part of it.</summary>
    private const long Checkpoints = 8;

    /// <summary>Several runs share the machine: nobody is to be taken for lost.</summary>
    private static readonly TimeSpan FailureDetection = TimeSpan.FromSeconds(20);

    /// <summary>The configuration whose batch, rate and optimizer are varied; from a checkpoint on, as it goes on there.</summary>
    public required RunOptions Options { get; init; }

    /// <summary>The runs.</summary>
    public required IReadOnlyList<SweepCell> Cells { get; init; }

    /// <summary>The validation loss to compare at; null for one that every batch reaches.</summary>
    public double? Target { get; init; }

    /// <summary>The samples that a run may use.</summary>
    public required long Samples { get; init; }

    /// <summary>Whether the rate follows the recipe's schedule.</summary>
    public bool KeepsSchedule { get; init; }

    /// <summary>With how many seeds each batch and rate is trained, at least: an earlier command may have asked for more.</summary>
    public int Seeds => Cells.CountBy(c => c with { Seed = 0 }).Min(c => c.Value);

    /// <summary>With how many seeds a batch and rate is trained at most.</summary>
    public int MostSeeds => Cells.CountBy(c => c with { Seed = 0 }).Max(c => c.Value);

    /// <summary>How many runs at a time.</summary>
    public required int Parallel { get; init; }

    /// <summary>The sweep's folder.</summary>
    public required string Folder { get; init; }

    /// <summary>Samples of the training data.</summary>
    public required long TrainingSamples { get; init; }

    /// <summary>Samples of the validation data.</summary>
    public required long ValidationSamples { get; init; }

    /// <summary>The checkpoint that every run begins with; null for a model of the recipe's seed.</summary>
    public BranchPoint? Branch { get; init; }

    /// <summary>The samples that a configuration's own end comes to.</summary>
    public static long BudgetOf(RunOptions options, long trainingSamples)
    {
        var length = BatchSchedule.LengthOf(options, trainingSamples);
        return length.SamplesOf(length.Steps(options.Stop));
    }

    /// <summary>How many samples apart the evaluations are: the same for every batch.</summary>
    public long EvaluateEvery => Options.Evaluate.EverySamples > 0
        ? Options.Evaluate.EverySamples
        : Math.Max(1, Math.Max((long)(SamplesPerEvaluated * ValidationSamples), Samples / MostEvaluations));

    /// <summary>The configuration of a run, whose batch stays. What lasts so many steps lasts as many samples as it would with the recipe's batch.</summary>
    public RunOptions OptionsOf(SweepCell cell)
    {
        var (schedule, reference) = (Options.Schedule, new RunLength(TrainingSamples, Options.Batch.Global));
        schedule = schedule with
        {
            Name = KeepsSchedule ? schedule.Name : "constant",
            WarmupSteps = 0,
            WarmupSamples = schedule.WarmupSteps > 0 ? reference.SamplesOf(schedule.WarmupSteps) : schedule.WarmupSamples,
            EverySteps = 0,
            EverySamples = schedule.EverySteps > 0 ? reference.SamplesOf(schedule.EverySteps) : schedule.EverySamples,
            Scaling = "none",
            ReferenceBatch = 0,
        };
        return Options with
        {
            Name = cell.Name,
            Batch = Options.Batch with { Global = cell.Batch, Schedule = new BatchScheduleOptions(), MicroFrom = new Dictionary<string, int>() },
            Optimizer = Options.Optimizer with
            {
                Name = cell.Optimizer,
                LearningRate = cell.Rate,
                Nesterov = Options.Optimizer.Nesterov && cell.Optimizer == "sgd",
            },
            Schedule = schedule,
            Start = Branch?.Start ?? Options.Start,

            // From a checkpoint on, the samples that it has just seen do not come once more.
            Seed = unchecked(Options.Seed + (ulong)(Branch?.Step ?? 0) + (ulong)cell.Seed),
            Stop = new StopOptions { Samples = Samples, ValidationLoss = Target ?? 0 },
            Evaluate = new EvaluateOptions { EveryEpochs = 0, EverySamples = EvaluateEvery },
            Checkpoint = new CheckpointOptions { Keep = 1, EverySteps = Math.Max(1, new RunLength(TrainingSamples, cell.Batch).Steps(new StopOptions { Samples = Samples }) / Checkpoints) },
            Workers = 1,
            FailureDetection = Options.FailureDetection < FailureDetection ? FailureDetection : Options.FailureDetection,
        };
    }

    /// <summary>The folder of a run.</summary>
    public string FolderOf(SweepCell cell) => Path.Combine(Folder, SweepFolder.Cells, cell.Name);
}
