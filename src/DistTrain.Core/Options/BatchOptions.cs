using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace DistTrain.Core.Options;

/// <summary>The global batch, the only dial a user has to set, and how it is cut up.</summary>
public sealed record BatchOptions
{
    [Description("samples of one optimizer step over all workers"), Range(1L, 1L << 40)]
    public long Global { get; init; } = 64;

    /// <summary>The largest micro-batch that may be asked for.</summary>
    public const int MostMicro = 1 << 20;

    [Description("most samples of one forward and backward pass; auto has the workers find what suits their memory, once"), Range(1, MostMicro), OrAuto]
    public int Micro { get; init; } = 16;

    /// <summary>Whether the workers are to find the size of micro-batches: <see cref="Micro"/> is no size then.</summary>
    public bool IsAuto => Micro == 0;

    [Description("step -> most samples of a pass from that step on, as a run writes it down that ran out of memory there"), Example("100=8")]
    public IReadOnlyDictionary<string, int> MicroFrom { get; init; } = new Dictionary<string, int>();

    [Description("most blocks of a step, the unit in which work is handed out"), Range(1, 1 << 16)]
    public int Blocks { get; init; } = 64;

    [Description("the global batch over the run; batch.global is the first, and what the learning rate is meant for")]
    public BatchScheduleOptions Schedule { get; init; } = new();

    [Description("measure the noise scale, which says what another global batch would cost and save")]
    public bool NoiseScale { get; init; }
}
