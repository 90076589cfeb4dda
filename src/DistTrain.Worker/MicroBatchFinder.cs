using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tuning;

namespace DistTrain.Worker;

/// <summary>Finds the size of micro-batches that suits this worker, by computing some. Used on the compute thread, when the model is built and nothing else takes memory yet.</summary>
/// <param name="replica">The model with its data.</param>
/// <param name="options">The run's configuration as this host carries it out.</param>
/// <param name="samples">Samples of the training data.</param>
/// <param name="limit">The most memory that this process may take, in bytes.</param>
/// <param name="time">The clock.</param>
/// <param name="advance">Called after every size.</param>
internal sealed class MicroBatchFinder(Replica replica, RunOptions options, long samples, long limit, TimeProvider time, Action advance)
{
    /// <summary>How long measuring may take: a run's start should not be felt.</summary>
    private static readonly TimeSpan Budget = TimeSpan.FromMinutes(1);

    /// <summary>Measures and chooses.</summary>
    /// <param name="inForce">The size that the run has already: all up to it are measured, as far as they fit, and nothing beyond it; 0 where it has none.</param>
    public MicroBatchChoice Find(int inForce)
    {
        var started = time.GetTimestamp();
        var costs = new List<MicroBatchCost>();
        using var meter = new MicroBatchMeter(replica, samples, time);
        var step = Math.Min(options.Batch.Global, samples);
        var largest = inForce > 0 ? inForce : MicroBatchSearch.LargestOf(options, samples);

        // A GPU says by itself that its memory is used up, and harms nobody by it.
        var isOnHost = replica.Device.Name == "cpu";
        var search = new MicroBatchSearch(isOnHost ? limit : null, size => Needs(step, size, meter.Held, 0).Total, largest, inForce > 0 ? null : Budget);
        while (search.Next(costs, time.GetElapsedTime(started)) is { } size)
        {
            try
            {
                costs.Add(meter.Measure(size));
            }
            catch (Exception e) when (MemoryShortage.Is(e))
            {
                return Choose(size);
            }

            advance();
        }

        return Choose(tooLarge: null);

        MicroBatchChoice Choose(int? tooLarge)
        {
            var choice = search.Choose(costs, tooLarge);
            return costs.Find(c => c.Size == choice.Size) is { } cost
                ? choice with { Sentence = $"{choice.Sentence} {Expected(cost)}" }
                : choice;
        }

        string Expected(MicroBatchCost cost)
        {
            var needs = MemoryModel.Of(replica.Size, BatchOf(step, cost.Size), options.Workers, MemoryModel.RuntimeOf(replica.Size, meter.Held), cost.Activations);
            var most = Needs(step, cost.Size, meter.Held, cost.Activations).Total;
            return $"This worker is expected to need {needs}{(most > needs.Total ? $"; {ByteSize.Format(most)} where the others are lost" : "")}.";
        }
    }

    private MemoryModel Needs(long step, int size, long held, long activations) =>
        MemoryModel.OfAnyNumber(replica.Size, BatchOf(step, size), options.Workers, MemoryModel.RuntimeOf(replica.Size, held), activations);

    private BatchPlan BatchOf(long step, int size) => new(step, new BatchGeometry(options.Batch.Global, size, options.Batch.Blocks));
}
