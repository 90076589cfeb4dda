using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Schedules;

/// <summary>The global batch over a run, as far as its configuration alone says: constant, in stages, or as decays of the rate that the batch takes the place of.</summary>
public static class BatchSchedule
{
    /// <summary>Most increments of a warm-up: each brings a new plan, and more of them would show in nothing.</summary>
    public const int MostIncrements = 32;

    /// <summary>How long a run is, and how large its steps are, before anything was decided from what it measures.</summary>
    /// <param name="options">The configuration, valid.</param>
    /// <param name="dataSize">Samples in the training data, at least 1.</param>
    public static RunLength LengthOf(RunOptions options, long dataSize)
    {
        var (batch, schedule) = (options.Batch, options.Batch.Schedule);
        return schedule.Name switch
        {
            BatchScheduleOptions.InStages => InStages(new RunLength(dataSize, batch.Global), schedule),
            BatchScheduleOptions.Warmup => Warmup(new RunLength(dataSize, schedule.First), batch),
            BatchScheduleOptions.Decay => Decay(new RunLength(dataSize, batch.Global), options),
            _ => new RunLength(dataSize, batch.Global),
        };
    }

    /// <summary>
    /// The batches that take the place of decays of the rate, in order: each is the first divided by the factor once more, as long as it is not above the cap; and then the cap, where the next one would be.
    /// </summary>
    /// <returns>
    /// The batches; how many of them take the place of a whole decay; and how many times larger the one behind those is than the last before it, of which the rate takes the rest, 1 where there is none.
    /// </returns>
    /// <remarks>S. Smith, P.-J. Kindermans, C. Ying, Q. Le, arXiv 1711.00489: multiplying the batch by 1/f does to the noise of the steps what multiplying the rate by f does.</remarks>
    public static (IReadOnlyList<long> Batches, int Whole, double Part) InPlaceOfDecays(RunOptions options)
    {
        var (batches, most, last) = (new List<long>(), options.Batch.Schedule.Most, (double)options.Batch.Global);
        if (options.Batch.Schedule.Name != BatchScheduleOptions.Decay)
        {
            return (batches, 0, 1);
        }

        for (var next = last / options.Schedule.Factor; Math.Round(next) <= most; next /= options.Schedule.Factor)
        {
            batches.Add((long)Math.Round(next));
            last = next;
        }

        return Math.Round(last) < most ? ([.. batches, most], batches.Count, most / last) : (batches, batches.Count, 1);
    }

    private static RunLength InStages(RunLength length, BatchScheduleOptions schedule)
    {
        var stages = schedule.Stages.Select(s => (When: RunDuration.TryParse(s.Key, out var when) ? when : default, Batch: s.Value));
        return stages.OrderBy(s => s.When.Amount).Aggregate(length, (built, stage) => built.From(built.SamplesIn(stage.When), stage.Batch));
    }

    /// <summary>Equal increments at equal distances, in whole micro-batches where these are smaller.</summary>
    private static RunLength Warmup(RunLength length, BatchOptions batch)
    {
        var (first, last, micro) = (batch.Schedule.First, batch.Global, Math.Max(1, batch.Micro));
        var over = RunDuration.Of(batch.Schedule.OverEpochs, batch.Schedule.OverSteps, batch.Schedule.OverSamples);
        var increments = Math.Clamp((last - first) / micro, 1, MostIncrements);
        for (var i = 1L; i <= increments; i++)
        {
            var exact = first + (long)((Int128)(last - first) * i / increments);
            var size = i == increments ? last : Math.Max(first, exact / micro * micro);
            var when = over.Amount * i / increments;
            length = length.From(length.SamplesIn(over with { Amount = over.Unit == DurationUnit.Epochs ? when : Math.Ceiling(when) }), size);
        }

        return length;
    }

    private static RunLength Decay(RunLength length, RunOptions options)
    {
        var rate = length.Schedule(options);
        return InPlaceOfDecays(options).Batches.Select((batch, i) => (Batch: batch, Samples: (Int128)rate.WarmupSamples + ((Int128)(i + 1) * rate.StepSamples)))
            .TakeWhile(s => s.Samples < long.MaxValue).Aggregate(length, (built, s) => built.From((long)s.Samples, s.Batch));
    }
}
