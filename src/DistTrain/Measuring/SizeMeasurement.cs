using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Views;
using DistTrain.Worker;

namespace DistTrain.Measuring;

/// <summary>What micro-batches of rising sizes cost on this host, and which of them <c>batch.micro: auto</c> would take.</summary>
/// <param name="Model">The model.</param>
/// <param name="Costs">The sizes that fitted, ascending: the slowest of the workers that measured at the same time.</param>
/// <param name="Needs">The most memory that a worker of the run would need with each of them, in the same order.</param>
/// <param name="Choice">The choice, and why.</param>
/// <param name="Limit">The most memory that a worker may take.</param>
/// <param name="Workers">How many measured at the same time.</param>
internal sealed record SizeMeasurement(
    MeasuredModel Model, IReadOnlyList<MicroBatchCost> Costs, IReadOnlyList<MemoryModel> Needs, MicroBatchChoice Choice, long Limit, int Workers)
{
    /// <summary>Whoever asks for it has more patience than a run that begins.</summary>
    private static readonly TimeSpan Budget = TimeSpan.FromMinutes(1);

    /// <summary>Measures, with as many processes as workers compute here at the same time.</summary>
    /// <param name="options">The run's configuration, with the data where they lie on this host.</param>
    /// <param name="samples">Samples of the training data.</param>
    /// <param name="surroundings">The program, its environment and the clock; what takes its time is told on standard error.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="MeasureException">Nothing can be measured.</exception>
    public static async Task<SizeMeasurement> TakeAsync(RunOptions options, long samples, Surroundings surroundings, CancellationToken cancellation)
    {
        var whole = HostMemory.Limit();
        var (limit, remark) = ByteSize.TryParse(options.Memory.Limit ?? "", out var given)
            ? MemoryLimit.Within(given, whole)
            : (MemoryLimit.Share(whole, options.Workers), null);
        if (remark is not null)
        {
            surroundings.Error.WriteLine($"warning: {remark}");
        }

        var count = Math.Min(options.Workers, HostMeasurement.RoomOf(Environment.ProcessorCount, options.Threads));
        var step = Math.Min(options.Batch.Global, samples);
        var largest = MicroBatchSearch.LargestOf(options, samples);
        surroundings.Error.WriteLine($"Measuring micro-batches with {Words.Count(count, "process", "es")} at a time, at most {Words.Span(Budget)}.");

        // A worker proves its arithmetic by a micro-batch of the size in force, up to a few samples, which here is none yet.
        using var group = await MeasuringGroup.StartAsync(options with { Batch = options.Batch with { Micro = 0 } }, count, surroundings, cancellation);
        var (costs, state) = (new List<MicroBatchCost>(), group.Model.State);
        var held = group.Model.RuntimeBytes + state.Total + state.Vector;
        var search = new MicroBatchSearch(group.Model.Device == "cpu" ? limit : null, size => NeedsOf(size, 0).Total, largest, Budget);
        var (started, tooLarge) = (surroundings.Time.GetTimestamp(), (int?)null);
        while (tooLarge is null && search.Next(costs, surroundings.Time.GetElapsedTime(started)) is { } size)
        {
            if (await group.MeasureAsync(size, cancellation) is { } cost)
            {
                held = Math.Max(held, cost.Base);
                costs.Add(cost);
                surroundings.Error.WriteLine($"{size:N0}: {cost.SamplesPerSecond:N0} samples/s");
            }
            else
            {
                tooLarge = size;
            }
        }

        return new SizeMeasurement(group.Model, costs, [.. costs.Select(c => NeedsOf(c.Size, c.Activations))], search.Choose(costs, tooLarge), limit, count);

        MemoryModel NeedsOf(int size, long activations)
        {
            var batch = new BatchPlan(step, new BatchGeometry(options.Batch.Global, size, options.Batch.Blocks));
            return MemoryModel.OfAnyNumber(state, batch, options.Workers, MemoryModel.RuntimeOf(state, held), activations);
        }
    }
}
