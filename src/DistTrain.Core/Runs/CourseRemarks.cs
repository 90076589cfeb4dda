using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Schedules;

namespace DistTrain.Core.Runs;

/// <summary>What a configuration asks for in vain, as is known once the sizes of the data are: allowed, and probably not meant. Sentences for people, in a plan and as the run begins.</summary>
public static class CourseRemarks
{
    /// <summary>The sentences.</summary>
    /// <param name="options">The configuration, valid.</param>
    /// <param name="course">The course before anything is measured.</param>
    public static IEnumerable<string> On(RunOptions options, RunCourse course) =>
        AboveData(options, course.TrainingSamples).Concat(Evaluations(options, course)).Concat(Noise(options, course)).Concat(BehindEnd(options, course));

    private static IEnumerable<string> AboveData(RunOptions options, long dataSize)
    {
        var (batch, schedule, data) = (options.Batch, options.Batch.Schedule, $"the data hold {Counted.Of(dataSize, "sample")}");
        if (batch.Global > dataSize)
        {
            yield return $"batch.global is {batch.Global:N0} and {data}: every epoch is one step of {dataSize:N0}.";
        }

        foreach (var (when, size) in schedule.Stages.Where(s => s.Value > dataSize))
        {
            yield return $"batch.schedule.stages.{when} is {size:N0} and {data}: every epoch from there is one step of {dataSize:N0}.";
        }

        if (schedule.Most > dataSize && batch.Global <= dataSize)
        {
            yield return $"batch.schedule.most is {schedule.Most:N0} and {data}: more than those are in no step.";
        }
    }

    private static IEnumerable<string> Evaluations(RunOptions options, RunCourse course)
    {
        if (course.ValidationSamples == 0 && (options.Batch.Schedule.Name == BatchScheduleOptions.Plateau || options.Stop is not { Patience: 0, ValidationLoss: 0 }))
        {
            yield return "The data hold no validation samples, so nothing is evaluated: a plateau, stop.patience and stop.validationLoss never see anything.";
        }
    }

    /// <summary>Noise shows between the blocks of a step. A size that the workers find is small enough for two.</summary>
    private static IEnumerable<string> Noise(RunOptions options, RunCourse course)
    {
        var batch = options.Batch;
        if (!options.MeasuresNoise || batch.IsAuto)
        {
            yield break;
        }

        var what = batch.NoiseScale ? "batch.noiseScale measures nothing" : "The noise of the gradients is not measured";
        var sizes = course.Length.Stages.Where(s => s.Steps < course.TotalSteps).Select(s => Math.Min(s.Batch, course.TrainingSamples)).Distinct().ToList();
        var single = sizes.Where(s => new BatchPlan(s, options.Geometry).Blocks == 1).ToList();
        if (batch.Blocks == 1)
        {
            yield return $"{what}: batch.blocks is 1, and one block shows no noise; set it to 2 or more.";
        }
        else if (single.Count > 0)
        {
            var (where, step) = single.Count == sizes.Count ? ("", $"a step of {Counted.Of(single.Max(), "sample")}") : ($" in steps of up to {Counted.Of(single.Max(), "sample")}", "each");
            var remedy = single.Min() < 2 ? "raise the batch" : $"set batch.micro to {single.Min() / 2} or less";
            yield return $"{what}{where}: {step} is one micro-batch, as batch.micro is {batch.Micro:N0}, and one block shows no noise; {remedy}.";
        }
    }

    private static IEnumerable<string> BehindEnd(RunOptions options, RunCourse course)
    {
        var (schedule, length, last) = (options.Batch.Schedule, course.Length, course.Length.Stages[^1]);
        var end = $"the run ends after {course.TotalSteps:N0}";
        foreach (var (when, size) in schedule.Stages)
        {
            if (RunDuration.TryParse(when, out var begin) && length.StepsTo(length.SamplesIn(begin)) is var steps && steps >= course.TotalSteps)
            {
                yield return $"batch.schedule.stages.{when} would begin after {Counted.Of(steps, "step")}, and {end}: no step has those {Counted.Of(size, "sample")}.";
            }
        }

        if (schedule.Name == BatchScheduleOptions.Warmup && last.Steps >= course.TotalSteps)
        {
            yield return $"The warm-up of the batch would end after {Counted.Of(last.Steps, "step")}, and {end}: no step has the {Counted.Of(options.Batch.Global, "sample")} of batch.global.";
        }

        if (schedule.Name == BatchScheduleOptions.Decay && (length.Stages.Count == 1 || length.Stages[1].Steps >= course.TotalSteps))
        {
            yield return length.Stages.Count == 1
                ? $"batch.schedule.most is batch.global, {options.Batch.Global:N0}: the batch grows nowhere, and the rate decays."
                : $"The batch would grow after {Counted.Of(length.Stages[1].Steps, "step")}, where the rate would decay, and {end}: it does not.";
        }

        // How many samples so many steps are is not known where the batch follows what is measured.
        var (warmup, whole) = ((course.Progress?.Schedule ?? length.Schedule(options)).WarmupSamples, course.Progress?.Whole ?? course.TotalSamples);
        if (warmup > whole && !(schedule.FollowsEvidence && options.Stop is { Epochs: 0, Samples: 0 }))
        {
            yield return $"The warm-up of the rate takes {Counted.Of(warmup, "sample")}, and the run {whole:N0}: the rate does not come to optimizer.learningRate.";
        }
    }
}
