using DistTrain.Core.Options;

namespace DistTrain.Core.Tuning;

/// <summary>
/// Finds the size of micro-batches that suits a worker: the smallest whose throughput is nearly that of the best which fits its memory. A smaller one leaves memory, and more micro-batches to hand
/// out; a larger one gains nothing that shows. Pure: it says what to measure next, and chooses from what was measured.
/// </summary>
/// <remarks>
/// Sizes are measured in ascending order, each twice the one before: only then does a process's peak say something of the size. What a size will need is predicted from
/// the two before it, as activations grow with the samples; a size whose passes would come near the limit is not tried, as the system kills whoever goes beyond. Passes need less than the run will, which
/// has more nodes, and a checkpoint's copy: whether a size fits the run is judged by what was measured of it.
/// </remarks>
/// <param name="Limit">The most memory that the process may take, in bytes; null where a shortage shows by itself, as in a GPU's memory.</param>
/// <param name="Needs">What the run needs beside the activations where micro-batches have a size, in bytes.</param>
/// <param name="Largest">The largest size that makes sense: a step has a micro-batch for every worker.</param>
/// <param name="Budget">
/// How long measuring may take; null where the run goes by the largest size already. Then it is not asked which one is fast, but whether that one fits: only memory ends the search.
/// </param>
public sealed record MicroBatchSearch(long? Limit, Func<int, long> Needs, int Largest, TimeSpan? Budget)
{
    /// <summary>How much of the limit may be used: what is measured is not all that a process ever needs.</summary>
    public const double UsableShare = 0.9;

    /// <summary>How near to the best throughput is near enough.</summary>
    public const double Knee = 0.95;

    /// <summary>After so many sizes in a row that are not faster than a smaller one, no larger one is expected to be.</summary>
    public const int MostInVain = 3;

    /// <summary>The largest size that makes sense where the run has none yet: every worker has a micro-batch of a step, and the noise shows that the run measures.</summary>
    /// <param name="options">The configuration.</param>
    /// <param name="dataSize">Samples in the training data, at least 1.</param>
    public static int LargestOf(RunOptions options, long dataSize) =>
        (int)Math.Clamp(Math.Min(Math.Min(options.Batch.Global, dataSize) / options.Workers, NoiseRules.MostMicro(options, dataSize) ?? long.MaxValue), 1, BatchOptions.MostMicro);

    /// <summary>The size to measure next; null where there is none.</summary>
    /// <param name="costs">What was measured so far, in ascending order; all of it fitted.</param>
    /// <param name="spent">How long that took.</param>
    public int? Next(IReadOnlyList<MicroBatchCost> costs, TimeSpan spent)
    {
        if (costs.Count == 0)
        {
            return Fits(1, activations: 0) ? 1 : null;
        }

        var last = costs[^1];
        var next = (int)Math.Min(2L * last.Size, Largest);
        var isOver = last.Size >= Largest || !Fits(last.Size, last.Activations) || !Fits(last.Base + Predict(costs, next))
            || (Budget is { } budget && (spent + (spent / costs.Count * 2) > budget || InVain(costs) >= MostInVain));
        return isOver ? null : next;
    }

    /// <summary>The choice.</summary>
    /// <param name="costs">What was measured, in ascending order.</param>
    /// <param name="tooLarge">A size at which memory ran out; null where it never did.</param>
    public MicroBatchChoice Choose(IReadOnlyList<MicroBatchCost> costs, int? tooLarge = null)
    {
        var fitting = costs.Where(c => Fits(c.Size, c.Activations)).ToList();
        if (fitting.Count == 0)
        {
            var needed = Needs(1) + (costs.Count == 0 ? 0 : costs[0].Activations);
            return new MicroBatchChoice(0, 0, Limit is null || Fits(needed)
                ? "Memory ran out at a micro-batch of one sample."
                : $"A micro-batch of one sample needs {ByteSize.Format(needed)}, and {Usable} may be used: the limit is {ByteSize.Format(Limit.Value)}.");
        }

        var best = fitting.MaxBy(c => c.SamplesPerSecond)!;
        var choice = fitting.First(c => c.SamplesPerSecond >= Knee * best.SamplesPerSecond);
        var bound = fitting[^1].Size >= Largest ? $"a step asks for no more than {Largest}"
            : tooLarge is { } over ? $"memory ran out at {over}"
            : costs.FirstOrDefault(c => !Fits(c.Size, c.Activations)) is { } beyond ? $"{beyond.Size} would not fit {Usable}"
            : !Fits(fitting[^1].Base + Predict(costs, 2 * fitting[^1].Size)) ? $"{2L * fitting[^1].Size} would not fit {Usable}"
            : $"larger ones were not tried after {fitting[^1].Size}, as {(InVain(costs) >= MostInVain ? $"the last {MostInVain} were not faster than a smaller one" : "there was no time left to measure")}";
        return new MicroBatchChoice(
            choice.Size, fitting[^1].Size, $"{choice.Size} samples: {choice.SamplesPerSecond:0.#} samples/s, the best is {best.SamplesPerSecond:0.#} at {best.Size}; {bound}.");
    }

    /// <summary>What a size needs, predicted from the last two that were measured.</summary>
    /// <param name="costs">At least one, in ascending order.</param>
    /// <param name="size">A larger one than these.</param>
    private static long Predict(IReadOnlyList<MicroBatchCost> costs, int size)
    {
        var last = costs[^1];
        if (costs.Count == 1)
        {
            return (long)((double)last.Activations / last.Size * size);
        }

        var before = costs[^2];
        var perSample = Math.Max(0, (double)(last.Activations - before.Activations) / (last.Size - before.Size));
        return last.Activations + (long)(perSample * (size - last.Size));
    }

    private string Usable => ByteSize.Format((long)(UsableShare * Limit.GetValueOrDefault()));

    private bool Fits(int size, long activations) => Fits(Needs(size) + activations);

    private bool Fits(long bytes) => Limit is null || bytes <= UsableShare * Limit.Value;

    /// <summary>How many of the last sizes were not faster, by what counts as a difference, than the best smaller one.</summary>
    private static int InVain(IReadOnlyList<MicroBatchCost> costs)
    {
        var (best, inVain) = (0.0, 0);
        foreach (var cost in costs)
        {
            inVain = cost.SamplesPerSecond * Knee > best ? 0 : inVain + 1;
            best = Math.Max(best, cost.SamplesPerSecond);
        }

        return inVain;
    }
}
