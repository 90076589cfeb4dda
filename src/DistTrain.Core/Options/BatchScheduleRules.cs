using DistTrain.Core.Schedules;

namespace DistTrain.Core.Options;

/// <summary>What the schedules of the global batch need of each other's keys.</summary>
internal static class BatchScheduleRules
{
    private const string Path = "batch.schedule";
    private const double LargestDecay = 0.9;
    private static readonly BatchScheduleOptions Standard = new();

    /// <summary>The keys that not every schedule looks at, and those that do.</summary>
    private static readonly (string Key, Func<BatchScheduleOptions, double> Value, string[] Names)[] Owned =
    [
        ("first", s => s.First, [BatchScheduleOptions.Warmup, BatchScheduleOptions.Noise]),
        ("most", s => s.Most, [BatchScheduleOptions.Decay, BatchScheduleOptions.Plateau, BatchScheduleOptions.Noise]),
        ("overEpochs", s => s.OverEpochs, [BatchScheduleOptions.Warmup]),
        ("overSteps", s => s.OverSteps, [BatchScheduleOptions.Warmup]),
        ("overSamples", s => s.OverSamples, [BatchScheduleOptions.Warmup]),
        ("factor", s => s.Factor, [BatchScheduleOptions.Plateau, BatchScheduleOptions.Noise]),
        ("patience", s => s.Patience, [BatchScheduleOptions.Plateau]),
        ("minimumImprovement", s => s.MinimumImprovement, [BatchScheduleOptions.Plateau]),
        ("everyEpochs", s => s.EveryEpochs, [BatchScheduleOptions.Noise]),
        ("everySteps", s => s.EverySteps, [BatchScheduleOptions.Noise]),
        ("everySamples", s => s.EverySamples, [BatchScheduleOptions.Noise]),
    ];

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
            BatchScheduleOptions.Noise => Evidence(options).Concat(Cap(batch)).Concat(Noise(batch)).Concat(NoiseRules.Check(options)),
            _ => [],
        };
        return problems.Concat(OfOthers(schedule));
    }

    /// <summary>What is said to a schedule that does not look at it. A recipe's own key is dropped by <c>--set KEY=</c>.</summary>
    private static IEnumerable<OptionProblem> OfOthers(BatchScheduleOptions schedule)
    {
        foreach (var (key, value, names) in Owned)
        {
            if (value(schedule) != value(Standard) && !names.Contains(schedule.Name))
            {
                yield return new OptionProblem(
                    $"{Path}.{key}", FormattableString.Invariant($"{value(schedule)}"),
                    $"belongs to {Path}.name: {string.Join(" or ", names)}, and that is {schedule.Name}; drop it, as --set {Path}.{key}= does, or name {(names.Length == 1 ? "that schedule" : "such a schedule")}")
                { Follows = $"{Path}.name" };
            }
        }

        if (schedule.Name != BatchScheduleOptions.InStages && schedule.Stages.Count > 0)
        {
            yield return new OptionProblem($"{Path}.stages", schedule.Stages.First().Key, $"belongs to {Path}.name: stages; drop the stages, or name that schedule") { Follows = $"{Path}.name" };
        }
    }

    private static IEnumerable<OptionProblem> Stages(BatchScheduleOptions schedule)
    {
        if (schedule.Stages.Count == 0)
        {
            yield return OptionProblem.Missing($"{Path}.stages", $"say when and how large, such as {Path}.stages.2 epochs=256");
        }

        var (units, moments) = (new HashSet<DurationUnit>(), new Dictionary<RunDuration, string>());
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
            else if (!moments.TryAdd(duration, when))
            {
                yield return new OptionProblem($"{Path}.stages.{when}", $"{size}", $"begins when the stage of {moments[duration]} does: keep one of the two");
            }
        }
    }

    private static IEnumerable<OptionProblem> Warmup(BatchOptions batch, BatchScheduleOptions schedule)
    {
        if (schedule.First < 1 || schedule.First >= batch.Global)
        {
            yield return new OptionProblem($"{Path}.first", $"{schedule.First}", $"must be at least 1 and below batch.global, which is {batch.Global}: a warm-up rises");
        }

        const string Keys = "one of overEpochs, overSteps and overSamples";
        switch (RunOptions.Given(schedule.OverEpochs, schedule.OverSteps, schedule.OverSamples))
        {
            case 0:
                yield return OptionProblem.Missing($"{Path}.overEpochs", $"a warm-up needs {Keys}");
                break;
            case > 1:
                yield return new OptionProblem(Path, "several warm-ups", $"keep {Keys}");
                break;
        }
    }

    private static IEnumerable<OptionProblem> Decay(RunOptions options)
    {
        if (options.Schedule.Name != "step")
        {
            yield return new OptionProblem($"{Path}.name", BatchScheduleOptions.Decay, $"takes the place of a rate that decays, and schedule.name is {options.Schedule.Name}: set that to step") { Follows = "schedule.name" };
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

        const string Keys = "one of everyEpochs, everySteps and everySamples";
        switch (RunOptions.Given(batch.Schedule.EveryEpochs, batch.Schedule.EverySteps, batch.Schedule.EverySamples))
        {
            case 0:
                yield return OptionProblem.Missing($"{Path}.everyEpochs", $"to follow the noise scale needs {Keys}");
                break;
            case > 1:
                yield return new OptionProblem(Path, "several intervals", $"keep {Keys}");
                break;
        }
    }
}
