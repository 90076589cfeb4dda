using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using DistTrain.Core.Batches;
using DistTrain.Core.Runs;
using DistTrain.Core.Schedules;

namespace DistTrain.Core.Options;

/// <summary>
/// Everything a run is configured by. One YAML file, environment variables and <c>--set</c> are layered into one flat
/// table of keys, which <see cref="OptionsReader"/> turns into this record. A key marked
/// <see cref="HostOnlyAttribute"/> may differ between two runs with the same bits.
/// </summary>
public sealed record RunOptions
{
    /// <summary>The value of <see cref="Instructions"/> that leaves the choice to torch.</summary>
    public const string NativeInstructions = "native";

    /// <summary>The value of <see cref="Instructions"/> that hosts of different ages have in common.</summary>
    public const string Avx2Instructions = "avx2";

    [Description("the run's name, also the default name of its folder"), HostOnly]
    public string Name { get; init; } = "run";

    [Description("what is trained: a built-in task or one your program adds"), Required]
    public string Task { get; init; } = "";

    [Description("the model: name and whatever the task reads beside it")]
    public OptionSection Model { get; init; } = OptionSection.Empty;

    [Description("the data: name and whatever the task reads beside it")]
    public OptionSection Data { get; init; } = OptionSection.Empty;

    [Description("the global batch and how it is cut up")]
    public BatchOptions Batch { get; init; } = new();

    [Description("the update rule")]
    public OptimizerOptions Optimizer { get; init; } = new();

    [Description("the learning rate over the run")]
    public ScheduleOptions Schedule { get; init; } = new();

    [Description("gradient clipping")]
    public ClipOptions Clip { get; init; } = new();

    [Description("a running average of the weights")]
    public AverageOptions Average { get; init; } = new();

    [Description("the state that the run begins with, where that is not a model of its own seed")]
    public StartOptions Start { get; init; } = new();

    [Description("when the run is finished; the first limit reached counts")]
    public StopOptions Stop { get; init; } = new();

    [Description("seed of initial weights, sampling and dropout")]
    public ulong Seed { get; init; } = 1;

    [Description("when validation data is evaluated; it always is at the end")]
    public EvaluateOptions Evaluate { get; init; } = new();

    [Description("when checkpoints are written; one always is at the end"), HostOnly]
    public CheckpointOptions Checkpoint { get; init; } = new();

    [Description("worker processes of a local launch, and how many the coordinator waits for"),
        Range(1, 4096), HostOnly]
    public int Workers { get; init; } = 2;

    [Description("torch threads of one worker; more than one changes the bits"), Range(1, 256)]
    public int Threads { get; init; } = 1;

    [Description("processor instructions that torch computes with: native for all there are, or avx2, by which hosts with and without AVX-512 may share a run, slower on those that have it"),
        AllowedValues(NativeInstructions, Avx2Instructions)]
    public string Instructions { get; init; } = NativeInstructions;

    [Description("segments into which a deep model cuts its layers, all but the last to be computed again in the backward pass in place of keeping their activations; 0 keeps all"),
        Range(0, 65_536), HostOnly]
    public int ActivationCheckpointing { get; init; }

    [Description("where workers compute: cpu, cuda, cuda:1 and so on, or auto for a GPU where there is one"),
        RegularExpression("auto|cpu|cuda(:[0-9]{1,3})?", ErrorMessage = "must be cpu, cuda, cuda:1 and so on, or auto for a GPU where there is one"), HostOnly]
    public string Device { get; init; } = "auto";

    [Description("how gradients travel: shared-memory within a host, tcp, or grpc, which passes proxies; auto takes for each pair the fastest that works. Where the "
        + "named one does not, grpc is used"),
        AllowedValues("auto", "shared-memory", "tcp", "grpc"), HostOnly]
    public string Transport { get; init; } = "auto";

    [Description("admit hosts that compute other bits than the first, or never the same twice; the run then promises no equal bits"), HostOnly]
    public bool AllowMixedHosts { get; init; }

    [Description("how soon a silent worker counts as lost; every other time limit follows from it"),
        Range(typeof(TimeSpan), "00:00:00.2", "00:10:00"), HostOnly]
    public TimeSpan FailureDetection { get; init; } = TimeSpan.FromSeconds(2);

    [Description("what a worker may take of its machine's memory"), HostOnly]
    public MemoryOptions Memory { get; init; } = new();

    [Description("deliberate trouble, for tests and demonstrations")]
    public DebugOptions Debug { get; init; } = new();

    /// <summary>The geometry that the batch options describe.</summary>
    public BatchGeometry Geometry => new(Batch.Global, Batch.Micro, Batch.Blocks);

    /// <summary>How the batch options cut up every operation of the run. The keys of <see cref="BatchOptions.MicroFrom"/> that are no steps are left out.</summary>
    public GeometrySchedule Geometries => new(
        Geometry, Batch.MicroFrom.Where(f => IsStep(f.Key)).Select(f => new GeometryChange(OperationKind.Train, long.Parse(f.Key, CultureInfo.InvariantCulture), f.Value)));

    /// <summary>Whether the moments of the gradients are measured: the noise scale is asked for, or the batch or the rate follows them.</summary>
    public bool MeasuresNoise => Batch.NoiseScale || FollowsNoise;

    /// <summary>Whether the batch or the rate follows the moments of the gradients.</summary>
    public bool FollowsNoise => Batch.Schedule.Name == BatchScheduleOptions.Noise || Schedule.Scaling == AdaScaleProgress.Name;

    /// <summary>The same run with the size of micro-batches that was found for it, where that was left to its workers.</summary>
    /// <param name="micro">The size; 0 where it is not known.</param>
    public RunOptions WithMicro(int micro) => Batch.IsAuto ? this with { Batch = Batch with { Micro = micro } } : this;

    /// <summary>Relations between keys that no single key can check.</summary>
    public IEnumerable<OptionProblem> Validate()
    {
        if (Model.Name.Length == 0)
        {
            yield return OptionProblem.Missing("model.name", "name the model, such as mlp");
        }

        if (Data.Name.Length == 0)
        {
            yield return OptionProblem.Missing("data.name", "name the data, such as digits");
        }

        if (Start.Checkpoint is null != Start.WeightsHash is null)
        {
            yield return OptionProblem.Missing(
                Start.Checkpoint is null ? "start.checkpoint" : "start.weightsHash", "start.checkpoint and start.weightsHash need each other; the hash is in the checkpoint's manifest.json");
        }

        if (Stop is { Epochs: 0, Steps: 0, Samples: 0 })
        {
            yield return OptionProblem.Missing("stop", "set one of stop.epochs, stop.steps or stop.samples above 0");
        }

        if (Optimizer is { Nesterov: true, Momentum: 0 })
        {
            yield return new OptionProblem(
                "optimizer.nesterov", "true", "needs optimizer.momentum above 0; set one or drop nesterov");
        }

        if (Optimizer is { Nesterov: true, Name: "lars" })
        {
            yield return new OptionProblem("optimizer.nesterov", "true", "is a form of sgd's momentum; drop it or name sgd");
        }

        if (Several(Schedule.WarmupEpochs, Schedule.WarmupSteps, Schedule.WarmupSamples))
        {
            yield return new OptionProblem(
                "schedule", "several warm-ups", "keep one of warmupEpochs, warmupSteps and warmupSamples");
        }

        if (Several(Schedule.EveryEpochs, Schedule.EverySteps, Schedule.EverySamples))
        {
            yield return new OptionProblem(
                "schedule", "several decays", "keep one of everyEpochs, everySteps and everySamples");
        }

        if (Schedule is { Name: "step", EveryEpochs: 0, EverySteps: 0, EverySamples: 0 })
        {
            yield return OptionProblem.Missing(
                "schedule.everyEpochs", "a step schedule needs everyEpochs, everySteps or everySamples");
        }

        foreach (var problem in BatchScaling.Problems(this))
        {
            yield return problem;
        }

        foreach (var problem in AdaScaleRules.Check(this))
        {
            yield return problem;
        }

        if (ActivationCheckpointing == 1)
        {
            yield return new OptionProblem(
                "activationCheckpointing", "1", "has no effect, because the last segment keeps its activations; set it to 2 or more, or to 0");
        }

        foreach (var rank in Debug.DelayPerMicroBatch.Keys.Where(k => !int.TryParse(k, out var n) || n < 0))
        {
            yield return new OptionProblem(
                $"debug.delayPerMicroBatch.{rank}", rank, "must name a worker by its number, from 0");
        }

        foreach (var (step, micro) in Batch.MicroFrom)
        {
            if (!IsStep(step))
            {
                yield return new OptionProblem($"batch.microFrom.{step}", $"{micro}", "must name a step, from 1");
            }
            else if (micro is < 1 or > BatchOptions.MostMicro)
            {
                yield return new OptionProblem($"batch.microFrom.{step}", $"{micro}", $"must be between 1 and {BatchOptions.MostMicro}");
            }
        }

        if ((Stop.Patience > 0 || Stop.ValidationLoss > 0 || Batch.Schedule.Name == BatchScheduleOptions.Plateau) && Evaluate is { EveryEpochs: 0, EverySteps: 0, EverySamples: 0 })
        {
            yield return OptionProblem.Missing("evaluate", "stop.patience, stop.validationLoss and a plateau look at evaluations: set one of everyEpochs, everySteps or everySamples above 0");
        }

        foreach (var problem in BatchScheduleRules.Check(this))
        {
            yield return problem;
        }

        static bool Several(params ReadOnlySpan<double> durations) => Given(durations) > 1;
    }

    /// <summary>How many of several durations are given.</summary>
    internal static int Given(params ReadOnlySpan<double> durations)
    {
        var given = 0;
        foreach (var duration in durations)
        {
            given += duration > 0 ? 1 : 0;
        }

        return given;
    }

    private static bool IsStep(string key) => long.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var step) && step > 0 && key[0] != '0';
}

/// <summary>The update rule.</summary>
public sealed record OptimizerOptions
{
    [Description("sgd, adam, adamw, lars or lamb"), AllowedValues("sgd", "adam", "adamw", "lars", "lamb")]
    public string Name { get; init; } = "sgd";

    [Description("the full learning rate"), Range(0.0, 1e6)]
    public double LearningRate { get; init; } = 0.05;

    [Description("momentum of sgd and lars"), Range(0.0, 0.99999)]
    public double Momentum { get; init; } = 0.9;

    [Description("Nesterov's form of momentum, for sgd")]
    public bool Nesterov { get; init; }

    [Description("decay of the mean of gradients in adam, adamw and lamb"), Range(0.0, 0.999999)]
    public double Beta1 { get; init; } = 0.9;

    [Description("decay of their mean of squares"), Range(0.0, 0.999999)]
    public double Beta2 { get; init; } = 0.999;

    [Description("what keeps their division away from zero"), Range(1e-30, 1.0)]
    public double Epsilon { get; init; } = 1e-8;

    [Description("weight decay: added to the gradient by sgd, adam and lars, to the update by lamb, taken from the weights by adamw"), Range(0.0, 1e3)]
    public double WeightDecay { get; init; }

    [Description("how far lars moves a layer against the size of its weights"), Range(1e-12, 1e3)]
    public double TrustCoefficient { get; init; } = 0.001;

    [Description("spare parameters of one dimension, that is biases and norms, from weight decay")]
    public bool DecayMatricesOnly { get; init; }
}

/// <summary>
/// The learning rate over the run. Durations may be given in epochs, steps or samples; inside they are samples.
/// </summary>
public sealed record ScheduleOptions
{
    [Description("constant, step or cosine"), AllowedValues("constant", "step", "cosine")]
    public string Name { get; init; } = "constant";

    [Description("epochs over which the rate rises linearly"), Range(0.0, 1e6)]
    public double WarmupEpochs { get; init; }

    [Description("steps over which the rate rises linearly"), Range(0L, 1L << 40)]
    public long WarmupSteps { get; init; }

    [Description("samples over which the rate rises linearly"), Range(0L, 1L << 50)]
    public long WarmupSamples { get; init; }

    [Description("epochs between decays of a step schedule"), Range(0.0, 1e6)]
    public double EveryEpochs { get; init; }

    [Description("steps between decays of a step schedule"), Range(0L, 1L << 40)]
    public long EverySteps { get; init; }

    [Description("samples between decays of a step schedule"), Range(0L, 1L << 50)]
    public long EverySamples { get; init; }

    [Description("what each decay of a step schedule multiplies the rate by"), Range(0.0, 1.0)]
    public double Factor { get; init; } = 0.1;

    [Description("the rate at the end of a cosine"), Range(0.0, 1e6)]
    public double FinalRate { get; init; }

    [Description("how the rate follows the global batch, k times the reference: linear times k, sqrt times its root, where betas and epsilon of adam and adamw follow, too; adascale, for sgd, times the "
        + "measured number of reference steps that a step is worth, and the run ends after as many as one of the reference batch; none"),
        AllowedValues("none", "linear", "sqrt", AdaScaleProgress.Name)]
    public string Scaling { get; init; } = "none";

    [Description("the global batch that the rate and the optimizer's numbers are right for; 0 for batch.global"), Range(0L, 1L << 40)]
    public long ReferenceBatch { get; init; }
}

/// <summary>Gradient clipping.</summary>
public sealed record ClipOptions
{
    [Description("largest norm of the mean gradient over all parameters; 0 clips nothing"), Range(0.0, 1e12)]
    public double GlobalNorm { get; init; }
}

/// <summary>A running average of the weights, evaluated in their place.</summary>
public sealed record AverageOptions
{
    [Description("how much of the average stays at every step, such as 0.999; 0 keeps none"), Range(0.0, 0.9999999)]
    public double Decay { get; init; }
}

/// <summary>The state that a run begins with.</summary>
public sealed record StartOptions
{
    [Description("the folder of another run's checkpoint, where the first worker finds it"), HostOnly]
    public string? Checkpoint { get; init; }

    [Description("the hash of its weights, as its manifest.json says: what decides the bits is the state, not where it lies")]
    public string? WeightsHash { get; init; }
}

/// <summary>When the run is finished. 0 sets no limit.</summary>
public sealed record StopOptions
{
    [Description("passes over the data"), Range(0L, 1L << 40)]
    public long Epochs { get; init; }

    [Description("optimizer steps"), Range(0L, 1L << 40)]
    public long Steps { get; init; }

    [Description("samples; the step that reaches them is completed"), Range(0L, 1L << 50)]
    public long Samples { get; init; }

    [Description("evaluations without improvement of the validation loss after which the run ends early"), Range(0, 1_000_000)]
    public int Patience { get; init; }

    [Description("by more than how much the validation loss has to fall below its best to count as improved"), Range(0.0, 1e12)]
    public double MinimumImprovement { get; init; }

    [Description("the run ends early when the validation loss has come down to this"), Range(0.0, 1e12)]
    public double ValidationLoss { get; init; }
}

/// <summary>When validation data is evaluated. 0 means only at the end.</summary>
public sealed record EvaluateOptions
{
    [Description("epochs between evaluations"), Range(0L, 1L << 40)]
    public long EveryEpochs { get; init; } = 1;

    [Description("steps between evaluations"), Range(0L, 1L << 40)]
    public long EverySteps { get; init; }

    [Description("samples between evaluations"), Range(0L, 1L << 50)]
    public long EverySamples { get; init; }
}

/// <summary>When checkpoints are written.</summary>
public sealed record CheckpointOptions
{
    [Description("steps between checkpoints; 0 writes only the last"), Range(0L, 1L << 40)]
    public long EverySteps { get; init; }

    [Description("how many checkpoints are kept"), Range(1, 10_000)]
    public int Keep { get; init; } = 3;
}

/// <summary>What a worker may take of its machine's memory: what <c>batch.micro: auto</c> goes by.</summary>
public sealed record MemoryOptions
{
    [Description("most memory of one worker process, such as 2GB; not set: its control group's limit or what the machine has left, shared by the workers of a local launch"), ByteSize]
    public string? Limit { get; init; }
}

/// <summary>Deliberate trouble.</summary>
public sealed record DebugOptions
{
    [Description("worker number -> pause after every micro-batch, to make a worker slow on purpose"), HostOnly, Example("0=20ms")]
    public IReadOnlyDictionary<string, TimeSpan> DelayPerMicroBatch { get; init; } = new Dictionary<string, TimeSpan>();

    [Description("add each worker's blocks up before they meet the others': "
        + "breaks the promise of equal bits, to show that the check can fail")]
    public bool FoldPerWorker { get; init; }
}
