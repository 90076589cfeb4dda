using DistTrain.Core.Schedules;

namespace DistTrain.Core.Options;

/// <summary>What the schedules of the global batch need of each other's keys.</summary>
internal static class BatchScheduleRules
{
    private const string Path = "batch.schedule";
    private const double LargestDecay = 0.9;

    /// <summary>The mistakes.</summary>
    public static IEnumerable<OptionProblem> Check(RunOptions options)
    {
        var (batch, schedule) = (options.Batch, options.Batch.Schedule);
        var problems = schedule.Name switch
        {
            BatchScheduleOptions.InStages => Stages(schedule),
            BatchScheduleOptions.Warmup => Warmup(batch, schedule),
            BatchScheduleOptions.Decay => Decay(options).Concat(Cap(batch)),
            BatchScheduleOptions.Plateau => Evidence(options).Concat(Cap(batch)),
            BatchScheduleOptions.Noise => Evidence(options).Concat(Cap(batch)).Concat(Noise(batch)),
            _ => [],
        };
        return schedule.Name == BatchScheduleOptions.InStages || schedule.Stages.Count == 0
            ? problems
            : problems.Append(new OptionProblem($"{Path}.stages", schedule.Stages.First().Key, $"belongs to {Path}.name: stages; drop the stages, or name that schedule"));
    }

    private static IEnumerable<OptionProblem> Stages(BatchScheduleOptions schedule)
    {
        if (schedule.Stages.Count == 0)
        {
            yield return OptionProblem.Missing($"{Path}.stages", $"say when and how large, such as {Path}.stages.2 epochs=256");
        }

        var units = new HashSet<DurationUnit>();
        foreach (var (when, size) in schedule.Stages)
        {
            if (!RunDuration.TryParse(when, out var duration) || duration.Amount == 0)
            {
                yield return new OptionProblem($"{Path}.stages.{when}", $"{size}", "must name when, above 0, such as 2 epochs, 500 steps or 100000 samples");
            }
            else if (size is < 1 or > 1L << 40)
            {
                yield return new OptionProblem($"{Path}.stages.{when}", $"{size}", $"must be between 1 and {1L << 40}");
            }
            else if (units.Add(duration.Unit) && units.Count == 2)
            {
                yield return new OptionProblem($"{Path}.stages.{when}", $"{size}", "is counted in another unit than the stage before: count all in epochs, all in steps or all in samples");
            }
        }
    }

    private static IEnumerable<OptionProblem> Warmup(BatchOptions batch, BatchScheduleOptions schedule)
    {
        if (schedule.First < 1 || schedule.First >= batch.Global)
        {
            yield return new OptionProblem($"{Path}.first", $"{schedule.First}", $"must be at least 1 and below batch.global, which is {batch.Global}: a warm-up rises");
        }

        if (RunOptions.Given(schedule.OverEpochs, schedule.OverSteps, schedule.OverSamples) != 1)
        {
            yield return OptionProblem.Missing($"{Path}.overEpochs", "a warm-up needs one of overEpochs, overSteps and overSamples");
        }
    }

    private static IEnumerable<OptionProblem> Decay(RunOptions options)
    {
        if (options.Schedule.Name != "step")
        {
            yield return new OptionProblem($"{Path}.name", BatchScheduleOptions.Decay, $"takes the place of a rate that decays, and schedule.name is {options.Schedule.Name}: set that to step");
        }
        else if (options.Schedule.Factor is <= 0 or > LargestDecay)
        {
            yield return new OptionProblem("schedule.factor", $"{options.Schedule.Factor}", $"must be above 0 and at most {LargestDecay} where the batch is divided by it");
        }
    }

    private static IEnumerable<OptionProblem> Cap(BatchOptions batch)
    {
        if (batch.Schedule.Most < batch.Global)
        {
            yield return new OptionProblem($"{Path}.most", $"{batch.Schedule.Most}", $"must be at least batch.global, which is {batch.Global}: it caps how far the batch grows");
        }
    }

    private static IEnumerable<OptionProblem> Evidence(RunOptions options)
    {
        if (options is { Schedule.Name: "cosine", Stop: { Epochs: 0, Samples: 0 } })
        {
            yield return new OptionProblem(
                "schedule.name", "cosine", $"ends with the run, and how many samples {options.Stop.Steps} steps are is not known where the batch follows what is measured: set stop.epochs or stop.samples");
        }
    }

    private static IEnumerable<OptionProblem> Noise(BatchOptions batch)
    {
        if (batch.Schedule.First < 1 || batch.Schedule.First > batch.Global)
        {
            yield return new OptionProblem($"{Path}.first", $"{batch.Schedule.First}", $"must be at least 1 and at most batch.global, which is {batch.Global}: the batch does not fall below it");
        }

        if (RunOptions.Given(batch.Schedule.EveryEpochs, batch.Schedule.EverySteps, batch.Schedule.EverySamples) != 1)
        {
            yield return OptionProblem.Missing($"{Path}.everyEpochs", "to follow the noise scale needs one of everyEpochs, everySteps and everySamples");
        }
    }
}
