using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Views;

namespace DistTrain.Plans;

/// <summary>What predictions mean: whether another worker, and whether accumulation, is worth it, and why. Sentences for people.</summary>
internal static class PlanAdvice
{
    /// <summary>Fewer samples/s more than this for twice the workers are not worth them.</summary>
    private const double WorthAnother = 1.15;

    /// <summary>What each worker gives of a single one's speed where more of them begin to be dear.</summary>
    private const double Efficient = 0.75;

    /// <summary>Accumulation that spares less than this of a step's time is not worth it for the time.</summary>
    private const double WorthAccumulating = 1.1;

    /// <summary>The most workers that a run may have.</summary>
    private const int MostWorkers = 4096;

    /// <summary>The sentences.</summary>
    /// <param name="predictions">By rising numbers of workers.</param>
    /// <param name="workers">The number that the run is planned for.</param>
    /// <param name="room">How many workers compute on this host without taking turns.</param>
    public static IEnumerable<string> On(IReadOnlyList<RunPrediction> predictions, int workers, int room)
    {
        foreach (var (fewer, more) in predictions.Zip(predictions.Skip(1)))
        {
            yield return OnWorkers(predictions[0], fewer, more, room);
        }

        if (predictions.FirstOrDefault(p => p.Workers == workers) is { } planned)
        {
            yield return OnAccumulation(planned);
        }
    }

    /// <summary>Up to how many workers the exchange of a step is bound by its bytes.</summary>
    /// <param name="vectorBytes">What is exchanged.</param>
    public static string OnExchange(long vectorBytes)
    {
        var most = ExchangeCost.Measured.MostWorkers(vectorBytes, MostWorkers);
        var bytes = ByteSize.Format(vectorBytes);
        return most == MostWorkers
            ? $"Direct exchange: {bytes} a step are worth the messages between all of up to {MostWorkers:N0} workers."
            : $"Direct exchange: {bytes} a step are worth the messages between all of up to about {Words.Count(most, "worker")}; beyond that the messages cost more than the bytes, as measured by gRPC.";
    }

    private static string OnWorkers(RunPrediction one, RunPrediction fewer, RunPrediction more, int room)
    {
        var gain = more.SamplesPerSecond / fewer.SamplesPerSecond;
        var verdict = $"{Words.Count(more.Workers, "worker")} instead of {fewer.Workers}: {gain:0.00} times the samples/s";
        if (gain < WorthAnother)
        {
            return $"{verdict}, not worth it: {Reason(more, room)}.";
        }

        var efficiency = more.SamplesPerSecond / one.SamplesPerSecond / more.Workers;
        return efficiency < Efficient ? $"{verdict}, each gives {efficiency:P0} of what one alone does: {Reason(more, room)}." : $"{verdict}, worth it where time matters.";
    }

    private static string Reason(RunPrediction more, int room)
    {
        var (exchange, blocks) = ((more.Time.Exchange + more.Time.Update) / more.Time.Total, more.Step.Batch.Blocks);
        return more.Workers > blocks ? $"a step has {Words.Count(blocks, "block")}, and who has none computes nothing"
            : more.Workers > room ? $"this machine computes for {room} at a time, and more take turns; on machines of their own they would not"
            : exchange > 0.2 ? $"exchange and update are {exchange:P0} of a step and do not shrink; a larger global batch computes longer between them"
            : blocks % more.Workers != 0 && blocks < 4 * more.Workers ? $"{Words.Count(blocks, "block")} do not spread evenly; a smaller batch.micro or more batch.blocks would"
            : "they share this machine's caches and its way to memory";
    }

    private static string OnAccumulation(RunPrediction planned)
    {
        var slowest = planned.Step.Ranks.MaxBy(r => r.Samples)!;
        if (slowest.MicroBatches <= 1)
        {
            return "Nothing is accumulated: every worker computes one micro-batch a step.";
        }

        // The same workers with one micro-batch each: a step exchanges and updates as much as now.
        var batch = Math.Max(1, planned.Step.Batch.Samples / slowest.MicroBatches);
        var fixedTime = planned.Time.Exchange + planned.Time.Update;
        var alone = batch / ((planned.Time.Compute / slowest.MicroBatches) + fixedTime);
        var gain = planned.SamplesPerSecond / alone;
        var facts = $"{Words.Count(slowest.MicroBatches, "micro-batch", "es")} a worker are accumulated: a global batch of {batch:N0} would need no accumulation, make {slowest.MicroBatches} times as many updates "
            + $"of the same samples, and train {alone:N0} samples/s in place of {planned.SamplesPerSecond:N0}";
        return gain >= WorthAccumulating
            ? $"{facts}: accumulation spares exchange and update {slowest.MicroBatches - 1} times, and is worth it for the time. Whether a batch this large is good for the loss, only a trial tells: retuned, large "
                + $"batches were not found to generalise worse (Shallue 2018, arXiv 1811.03600)."
            : $"{facts}: accumulation is not worth it for the time. Unless memory or replicas force it, a smaller batch without it is advised (Marek 2025, arXiv 2507.07101).";
    }
}
