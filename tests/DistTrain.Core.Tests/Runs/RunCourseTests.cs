using CsCheck;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;

namespace DistTrain.Core.Tests.Runs;

/// <summary>A run from its first operation to its last, for many configurations.</summary>
public class RunCourseTests
{
    private static readonly Gen<(RunOptions Options, long Training, long Validation)> Runs = Gen.Select(
        Gen.Long[1, 120], Gen.Long[0, 30], Gen.Long[1, 150], Gen.Long[0, 4].Array[4], Gen.Long[0, 9].Array[3])
        .Select((training, validation, batch, stop, every) => (new RunOptions
        {
            Batch = new BatchOptions { Global = batch, Micro = 7, Blocks = 5, Schedule = ScheduleOf(every) },
            Stop = new StopOptions { Epochs = stop[0] + (stop[1] + stop[2] == 0 ? 1 : 0), Steps = 3 * stop[1], Samples = 40 * stop[2] },
            Evaluate = new EvaluateOptions { EveryEpochs = every[0] % 4, EverySteps = every[1], EverySamples = 17 * every[2] },
            Checkpoint = new CheckpointOptions { EverySteps = stop[3] },
        }, training, validation));

    [Fact]
    public void Every_sample_of_an_epoch_is_used_exactly_once() => Runs.Always(run =>
    {
        var course = Course(run);
        var (next, samples) = (new EpochCursor(0, 0), 0L);
        foreach (var step in Steps(All(course)))
        {
            Assert.Equal((next.Epoch, next.Position), (step.Samples.Epoch, step.Samples.First));
            (_, next) = next.Take(run.Training, step.Geometry.Global);
            samples += step.Samples.Count;
            Assert.Equal(course.Length.BatchOf(step.Step), step.Geometry.Global);
            Assert.Equal(run.Training - step.Samples.First <= step.Geometry.Global, next.Position == 0);
        }

        Assert.Equal(course.TotalSamples, samples);
    });

    [Fact]
    public void Operations_and_steps_are_numbered_from_1_and_only_the_last_is_the_last() => Runs.Always(run =>
    {
        var course = Course(run);
        var all = All(course);
        Assert.Equal(Enumerable.Range(1, all.Count).Select(n => (ulong)n), all.Select(o => o.Number));
        Assert.Equal(Enumerable.Range(1, (int)course.TotalSteps).Select(n => (long)n), Steps(all).Select(o => o.Step));
        Assert.Equal(all.Count - 1, all.FindIndex(o => o.IsLast));
        Assert.Equal(run.Validation > 0 ? OperationKind.Evaluate : OperationKind.Train, all[^1].Kind);
    });

    [Fact]
    public void Evaluations_fall_where_any_interval_ends_once_each_and_always_at_the_end() => Runs.Always(run =>
    {
        var course = Course(run);
        var all = All(course);
        var (options, expected, samples) = (run.Options.Evaluate, new List<long>(), 0L);
        foreach (var step in Steps(all))
        {
            var before = samples;
            samples += step.Samples.Count;
            var epochs = samples / run.Training;
            var due = step.Step == course.TotalSteps
                || (options.EveryEpochs > 0 && samples % run.Training == 0 && epochs % options.EveryEpochs == 0)
                || (options.EverySteps > 0 && step.Step % options.EverySteps == 0)
                || (options.EverySamples > 0 && samples / options.EverySamples > before / options.EverySamples);
            if (due && run.Validation > 0)
            {
                expected.Add(step.Step);
            }
        }

        var evaluations = all.Where(o => o.Kind == OperationKind.Evaluate).ToList();
        Assert.Equal(expected, evaluations.Select(o => o.Step));
        Assert.All(evaluations, o => Assert.Equal((0L, run.Validation, 0.0, false), (o.Samples.First, o.Samples.Count, o.LearningRate, o.WritesCheckpoint)));
        Assert.All(evaluations, o => Assert.Equal(all[(int)o.Number - 2].Step, o.Step));
    });

    [Fact]
    public void Checkpoints_fall_on_their_interval_and_on_the_last_step() => Runs.Always(run =>
    {
        var course = Course(run);
        var every = run.Options.Checkpoint.EverySteps;
        Assert.All(Steps(All(course)), o => Assert.Equal(
            o.Step == course.TotalSteps || (every > 0 && o.Step % every == 0), o.WritesCheckpoint));
    });

    [Fact]
    public void Every_number_of_blocks_that_occurs_is_announced_and_no_other() => Runs.Always(run =>
    {
        var course = Course(run with { Options = run.Options with { Batch = run.Options.Batch with { Schedule = new BatchScheduleOptions() } } });
        var counts = course.BlockCounts(run.Options.Geometry);
        Assert.Equal(counts.Count, counts.Distinct().Count());
        Assert.All(All(course), o => Assert.Contains(o.Batches.Blocks, counts));
    });

    [Fact]
    public void What_comes_next_depends_on_the_position_alone()
    {
        var course = Course((new RunOptions
        {
            Batch = new BatchOptions { Global = 30 },
            Stop = new StopOptions { Epochs = 3 },
            Schedule = new ScheduleOptions { Name = "cosine", WarmupSteps = 2 },
        }, 100, 10));
        var positions = new List<CoursePosition>();
        for (var at = CoursePosition.Start; course.Next(at) is var (_, next); at = next)
        {
            positions.Add(at);
        }

        foreach (var at in Enumerable.Reverse(positions))
        {
            Assert.Equal(course.Next(at), course.Next(at with { }));
        }

        Assert.Equal(15, positions.Count);
    }

    [Fact]
    public void The_last_evaluation_may_fall_together_with_an_interval_and_is_made_once()
    {
        var course = Course((new RunOptions
        {
            Batch = new BatchOptions { Global = 50 },
            Stop = new StopOptions { Epochs = 1 },
            Evaluate = new EvaluateOptions { EveryEpochs = 1, EverySteps = 2, EverySamples = 100 },
        }, 100, 10));
        Assert.Equal(
            [OperationKind.Train, OperationKind.Train, OperationKind.Evaluate], All(course).Select(o => o.Kind));
    }

    private static BatchScheduleOptions ScheduleOf(long[] every) => every[0] < 5
        ? new BatchScheduleOptions()
        : new BatchScheduleOptions
        {
            Name = BatchScheduleOptions.InStages,
            Stages = new Dictionary<string, long> { [$"{(30 * every[1]) + 1} samples"] = (9 * every[2]) + 1, [$"{(70 * every[2]) + 2} samples"] = (13 * every[0]) + 2 },
        };

    private static RunCourse Course((RunOptions Options, long Training, long Validation) run) => new(run.Options, run.Training, run.Validation);

    private static List<Operation> All(RunCourse course)
    {
        var all = new List<Operation>();
        for (var at = CoursePosition.Start; course.Next(at) is var (operation, next); at = next)
        {
            all.Add(operation);
            Assert.InRange(all.Count, 1, 5000);
        }

        return all;
    }

    private static List<Operation> Steps(IEnumerable<Operation> all) => [.. all.Where(o => o.Kind == OperationKind.Train)];
}
