using CsCheck;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Membership;

/// <summary>What a coordinator that starts again makes of a run that ended by its gain, and is told anew when to end.</summary>
public sealed class RunMemoryTests
{
    private const long DataSize = 203;

    [Fact]
    public void A_run_ends_where_one_would_that_had_been_told_so_from_the_start() => Gen.Select(Gen.Long[400, 4000], Gen.Long[-300, 300], Gen.Int[0, 1000]).Always(drawn =>
    {
        var (samples, more, seed) = drawn;
        var ended = Walk(Options(samples), seed);
        var told = Options(Math.Max(1, samples + more));
        var undisturbed = Walk(told, seed);

        // What was decided from the steps that are there, and nothing from those that are not.
        var expected = undisturbed.End.Step <= ended.Steps ? undisturbed.End : null;
        Assert.Equal(expected, Memory(ended, Options(samples), told).EndReached(told));
    });

    [Fact]
    public void Another_patience_does_not_make_it_longer()
    {
        var (options, told) = (Options(2400), Options(2400) with { Stop = new StopOptions { Samples = 2400, Patience = 9 }, Evaluate = new EvaluateOptions { EverySteps = 7 } });
        var ended = Walk(options, 1);
        var memory = Memory(ended, options, told);
        var reached = memory.EndReached(told)!;
        Assert.Equal(ended.Steps, reached.From - 1);
        Assert.Equal(ended.Steps, (memory with { Decisions = [reached] }).CourseOf(told)!.TotalSteps);

        // Who goes on with the stop that it had has the decision, and needs no other.
        Assert.Null(Memory(ended, options, options).EndReached(options));
        Assert.Null((memory with { Decisions = [reached] }).EndReached(told));
    }

    [Fact]
    public void Nothing_is_reached_where_no_gain_is_measured() =>
        Assert.Null(new RunMemory { Reference = MachineRun.Proof, RecordedStep = 3 }.EndReached(new RunOptions { Stop = new StopOptions { Steps = 3 } }));

    private static RunOptions Options(long samples) => new()
    {
        Batch = new BatchOptions { Global = 40, Micro = 3 },
        Schedule = new ScheduleOptions { Scaling = "adascale", ReferenceBatch = 10 },
        Stop = new StopOptions { Samples = samples },
        Evaluate = new EvaluateOptions { EveryEpochs = 0 },
    };

    /// <summary>All that an undisturbed run shows, and how it ends.</summary>
    private static (long Steps, RunDecision End, Dictionary<long, GradientMoments> Moments) Walk(RunOptions options, int seed)
    {
        var (course, decider, moments, steps) = (new RunCourse(options, DataSize, 0), new RunDecider(options), new Dictionary<long, GradientMoments>(), 0L);
        for (var at = CoursePosition.Start; course.Next(at) is var (operation, next); at = next)
        {
            steps = operation.Step;
            var random = new Random(seed + (int)steps);
            moments[steps] = new GradientMoments(50 * random.NextDouble(), random.NextDouble() - 0.1, operation.Samples.Count);
            var shown = new OperationEvidence(operation.Kind, steps, 1, moments[steps]);
            course = course.With(shown);
            course = decider.Take(shown, course) is { } decision && course.Takes(decision) ? course.With(decision) : course;
        }

        return (steps, course.EndsBy!, moments);
    }

    /// <summary>The journal and the lines of a run that has ended, as its next coordinator finds them.</summary>
    private static RunMemory Memory((long Steps, RunDecision End, Dictionary<long, GradientMoments> Moments) run, RunOptions began, RunOptions now)
    {
        JournalEntry[] entries =
        [
            new JournalEntry.Term(1, OptionsReader.Write(began)), new JournalEntry.Reference(MachineRun.Proof with { TrainingSamples = DataSize, ValidationSamples = 0 }), new JournalEntry.Decision(run.End),
            new JournalEntry.Term(2, OptionsReader.Write(now)),
        ];
        return RunMemory.Of(entries) with { RecordedStep = run.Steps, Moments = run.Moments };
    }
}
