using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace DistTrain.Core.Options;

/// <summary>
/// The global batch over the run. Durations may be given in epochs, steps or samples; inside they are samples. What is decided from measurements takes effect two steps later.
/// </summary>
public sealed record BatchScheduleOptions
{
    /// <summary>The names of the schedules.</summary>
    public const string Constant = "constant", InStages = "stages", Warmup = "warmup", Decay = "decay", Plateau = "plateau", Noise = "noise";

    [Description("constant, stages (as told), warmup (rises to batch.global), decay (grows where schedule.name: step would divide the rate), plateau (grows where the validation loss "
        + "does not improve) or noise (follows the noise scale)"),
        AllowedValues(Constant, InStages, Warmup, Decay, Plateau, Noise)]
    public string Name { get; init; } = Constant;

    [Description("of stages: when -> samples of a step from then on, such as 2 epochs, 500 steps or 1000000 samples, all in one unit"), Example("2 epochs=256")]
    public IReadOnlyDictionary<string, long> Stages { get; init; } = new Dictionary<string, long>();

    [Description("of warmup: samples of the first step; of noise: the least, two micro-batches or more"), Range(0L, 1L << 40)]
    public long First { get; init; }

    [Description("the most samples of a step that decay, plateau and noise come to"), Range(0L, 1L << 40)]
    public long Most { get; init; }

    [Description("epochs over which warmup rises"), Range(0.0, 1e6)]
    public double OverEpochs { get; init; }

    [Description("steps over which it rises"), Range(0L, 1L << 40)]
    public long OverSteps { get; init; }

    [Description("samples over which it rises"), Range(0L, 1L << 50)]
    public long OverSamples { get; init; }

    [Description("what plateau multiplies the batch by, and noise multiplies or divides it by at most"), Range(1.01, 1024.0)]
    public double Factor { get; init; } = 2;

    [Description("of plateau: evaluations without improvement before the batch grows"), Range(1, 1_000_000)]
    public int Patience { get; init; } = 3;

    [Description("of plateau: by more than how much the validation loss has to fall below its best to count as improved"), Range(0.0, 1e12)]
    public double MinimumImprovement { get; init; }

    [Description("epochs between two changes by noise"), Range(0.0, 1e6)]
    public double EveryEpochs { get; init; }

    [Description("steps between two changes by noise"), Range(0L, 1L << 40)]
    public long EverySteps { get; init; }

    [Description("samples between two changes by noise"), Range(0L, 1L << 50)]
    public long EverySamples { get; init; }

    /// <summary>Whether the batch follows what is measured, so that nobody knows it ahead of the run.</summary>
    public bool FollowsEvidence => Name is Plateau or Noise;
}
