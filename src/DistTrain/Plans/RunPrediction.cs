using DistTrain.Core.Tuning;
using DistTrain.Measuring;

namespace DistTrain.Plans;

/// <summary>What a run would take with a number of workers on this host.</summary>
internal sealed record RunPrediction
{
    /// <summary>A measured run is short and evaluates nothing: part of what a process grows by in the course of a run is still to come.</summary>
    internal const long LaterGrowth = MemoryModel.Growth / 3;

    /// <summary>How many workers.</summary>
    public required int Workers { get; init; }

    /// <summary>A full step, cut up for them.</summary>
    public required StepPlan Step { get; init; }

    /// <summary>How long it takes.</summary>
    public required StepTime Time { get; init; }

    /// <summary>The most memory of a worker, by part.</summary>
    public required MemoryModel Memory { get; init; }

    /// <summary>How long the whole run takes, evaluations included; infinite for one that nobody lives to see.</summary>
    public required double Seconds { get; init; }

    /// <summary>What the workers cost meanwhile; null where no price is given.</summary>
    public required double? Cost { get; init; }

    /// <summary>Micro-batches of the worker with most: what it accumulates.</summary>
    public long MicroBatchesPerWorker => Step.Ranks.Max(r => r.MicroBatches);

    /// <summary>Throughput of all workers together in training.</summary>
    public double SamplesPerSecond => Step.Batch.Samples / Time.Total;

    /// <summary>Predicts for a number of workers.</summary>
    /// <param name="plan">The run.</param>
    /// <param name="host">What was measured.</param>
    /// <param name="workers">How many workers.</param>
    /// <param name="price">Of a worker for an hour; null where none is given.</param>
    public static RunPrediction Of(RunPlan plan, HostMeasurement host, int workers, double? price)
    {
        var model = new StepTimeModel(host.Costs, host.Room);
        var step = StepPlan.Of(plan.Full.Batch.Samples, plan.Geometry, workers);
        var time = TimeOf(model, step, workers);
        var evaluation = 0.0;
        if (plan.ValidationSamples > 0)
        {
            var shares = StepPlan.Of(plan.ValidationSamples, plan.Geometry, workers);
            evaluation = model.OfEvaluation(workers, Computing(shares), shares.Ranks.Max(r => r.Samples));
        }

        // A short step at the end of an epoch exchanges and updates as much as any other.
        var seconds = (time.Compute * plan.Samples / step.Batch.Samples) + ((time.Exchange + time.Update) * plan.Steps) + (evaluation * plan.Evaluations);
        return new RunPrediction
        {
            Workers = workers,
            Step = step,
            Time = time,
            Memory = MemoryOf(host, step, workers),
            Seconds = seconds,
            Cost = price * workers * seconds / 3600,
        };
    }

    /// <summary>The numbers of workers that a plan is made for: one, two, four, what is asked for, and the powers of two below that.</summary>
    public static IReadOnlyList<int> WorkersOf(int asked) =>
        [.. Enumerable.Range(0, 13).Select(p => 1 << p).Where(n => n <= Math.Max(4, asked)).Append(asked).Distinct().Order()];

    private static StepTime TimeOf(StepTimeModel model, StepPlan step, int workers) =>
        model.Of(workers, Computing(step), step.Ranks.Max(r => r.Samples), step.Ranks.Max(r => Math.Max(1, r.Cover.Count)));

    private static int Computing(StepPlan step) => step.Ranks.Count(r => r.Blocks.Count > 0);

    /// <summary>
    /// What is counted differs between the steps that were measured and the run's; what is not, activations and whatever program and libraries keep, is taken from the measurement.
    /// </summary>
    private static MemoryModel MemoryOf(HostMeasurement host, StepPlan step, int workers)
    {
        var state = host.Model.State;
        var measured = host.Peaks.Last(p => p.Workers <= workers);
        var counted = MemoryModel.Of(state, new(measured.Step.Samples, measured.Step.Geometry), measured.Workers, host.Model.RuntimeBytes, activations: 0);
        var rest = Math.Max(0, measured.PeakBytes - counted.Total) + LaterGrowth;
        return MemoryModel.Of(state, step.Batch, workers, host.Model.RuntimeBytes, rest);
    }
}
