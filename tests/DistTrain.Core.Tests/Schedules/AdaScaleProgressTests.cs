using CsCheck;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Core.Schedules;

namespace DistTrain.Core.Tests.Schedules;

/// <summary>Gains, rates and the end of a run by AdaScale, against algorithm 1 and appendix B.3 of arXiv 2007.05105, written out in float64, and where the plain run is known.</summary>
public sealed class AdaScaleProgressTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(8)]
    [InlineData(32)]
    [InlineData(1500)]
    public void A_run_has_the_gains_the_rates_and_the_length_of_the_paper(int scale)
    {
        const int reference = 16, whole = 700;
        const double rate = 0.3, final = 0.01, warm = 40;
        var options = Options("cosine") with
        {
            Batch = new BatchOptions { Global = reference * scale, Micro = 4 },
            Optimizer = new OptimizerOptions { LearningRate = rate },
            Schedule = new ScheduleOptions { Name = "cosine", FinalRate = final, WarmupSteps = (long)warm, Scaling = "adascale", ReferenceBatch = reference },
            Stop = new StopOptions { Samples = reference * whole },
        };
        var run = Run(options, 1L << 30, step => Moments(step, reference * scale));

        // The paper, in steps of the reference batch; what a gain is estimated from ends two steps before it.
        var (tau, theta, estimates, variance, square) = (0.0, Math.Max(1 - (scale / 1000.0), 0), new List<double>(), 0.0, 0.0);
        for (var t = 0; tau < whole; t++)
        {
            var gain = t < 2 ? 1 : estimates[t - 2];
            var lr = tau + gain < warm ? rate * (tau + gain) / warm : final + ((rate - final) * (1 + Math.Cos(Math.PI * Math.Max(0, tau - warm) / (whole - warm))) / 2);
            Assert.Equal(gain, run[t].Gain!.Value, gain * 1e-9);
            Assert.Equal(gain * lr, run[t].LearningRate, gain * lr * 1e-6);
            tau += gain;

            var moments = Moments(t + 1, reference * scale);
            var (sigma, mu) = (Math.Max(moments.Trace / reference, 0), Math.Max(moments.Square, 0));
            var isMean = t + 1 < 1 / (1 - theta);
            variance = isMean ? ((variance * t) + sigma) / (t + 1) : (theta * variance) + ((1 - theta) * sigma);
            square = isMean ? ((square * t) + mu) / (t + 1) : (theta * square) + ((1 - theta) * mu);
            estimates.Add((variance + square) / ((variance / scale) + square));
            if (tau >= whole)
            {
                Assert.Equal(t + 1, run.Count);
            }
        }

        Assert.InRange(run.Count, whole / scale, whole);
        Assert.Equal(scale > 2, run.Max(o => o.Gain) > 2);
    }

    [Fact]
    public void At_the_reference_the_run_is_the_plain_one_to_the_last_bit() =>
        Gen.Select(Gen.Long[1, 200], Gen.Long[2, 90], Gen.Int[0, 2], Gen.Long[1, 3], Gen.Long[0, 400]).Always(drawn =>
        {
            var (data, batch, shape, epochs, samples) = drawn;
            var options = Options(new[] { "constant", "step", "cosine" }[shape]) with
            {
                Batch = new BatchOptions { Global = batch, Micro = 1 },
                Stop = new StopOptions { Epochs = epochs, Samples = samples },
            };
            options = options with { Schedule = options.Schedule with { EverySamples = 90, WarmupSamples = 70, Scaling = "none" } };
            var plain = Run(options, data, step => Moments(step, batch));
            var scaled = Run(options with { Schedule = options.Schedule with { Scaling = "adascale" } }, data, step => Moments(step, batch));
            Assert.Equal(plain, scaled.Select(o => o with { Gain = null }));
            Assert.All(scaled, o => Assert.Equal(1, o.Gain));
        });

    [Fact]
    public void What_is_handed_out_is_what_is_said_two_steps_ahead_in_closed_form_and_never_changes() =>
        Gen.Select(Gen.Long[20, 200], Gen.Long[2, 30], Gen.Long[1, 4], Gen.Long[1, 90]).Always(drawn =>
        {
            var (data, reference, scale, change) = drawn;
            var options = Options("cosine") with
            {
                Batch = new BatchOptions
                {
                    Global = reference * scale,
                    Micro = 1,
                    Schedule = new BatchScheduleOptions { Name = BatchScheduleOptions.InStages, Stages = new Dictionary<string, long> { [$"{change} samples"] = reference } },
                },
                Schedule = new ScheduleOptions { Name = "cosine", WarmupSamples = 70, Scaling = "adascale", ReferenceBatch = reference },
                Stop = new StopOptions { Samples = 900 },
            };
            var course = new RunCourse(options, data, 0);
            var (before, sum, one) = (course, 0.0, Math.Min(reference, data));
            for (var at = CoursePosition.Start; course.Next(at) is var (operation, next) && operation.Step < 30; at = next)
            {
                Assert.Equal(operation.LearningRate, course.HyperparametersOf(operation.Step).Rate);
                Assert.Equal(operation, before.Current(operation));
                Assert.Equal(sum, course.Progress!.Before(operation.Step, course.Length), 1e-9);
                var full = Math.Min(operation.Geometry.Global, data);
                Assert.InRange(operation.Gain!.Value, 1, Math.Max(1, full / (double)one));
                sum += operation.Gain.Value * one * operation.Samples.Count / full;
                var earlier = course;
                course = course.With(new OperationEvidence(OperationKind.Train, operation.Step, 1, Moments(operation.Step, full)));
                Assert.Same(course.Progress, course.With(new OperationEvidence(OperationKind.Train, operation.Step, 1, Moments(77, full))).Progress);
                Assert.Equal(operation, course.Current(operation with { LearningRate = 7, Gain = 7 }));
                before = earlier;
            }

            Assert.Throws<ArgumentOutOfRangeException>(() => before.With(new OperationEvidence(OperationKind.Train, 99, 1, null)));
        });

    [Fact]
    public void A_run_takes_the_samples_of_the_reference_where_noise_is_all_there_is_and_scale_times_as_many_where_there_is_none()
    {
        var options = Options("constant") with
        {
            Batch = new BatchOptions { Global = 100, Micro = 5 },
            Schedule = new ScheduleOptions { Scaling = "adascale", ReferenceBatch = 25 },
            Stop = new StopOptions { Epochs = 10 },
        };

        // 200 samples: 2 steps an epoch. The first two steps are worth one each, the others four; then all are worth one.
        Assert.Equal(22, Run(options, 200, _ => new GradientMoments(3, 0, 100)).Count);
        Assert.Equal(80, Run(options, 200, _ => new GradientMoments(0, 3, 100)).Count);
        Assert.Equal(80, Run(options, 200, _ => null).Count);
        Assert.Equal((80, 80), (new RunCourse(options, 200, 0).TotalSteps, new RunCourse(options, 200, 0).ExpectedSteps));
        Assert.Equal(30, Run(options with { Stop = options.Stop with { Steps = 30 } }, 200, _ => null).Count);
        Assert.Equal("these steps are worth 2,000 samples in batches of 25, as many as stop asks for", End(options, 200, _ => new GradientMoments(3, 0, 100))?.Reason);
        Assert.Null(End(options, 200, _ => null));
    }

    [Fact]
    public void The_short_last_step_of_an_epoch_counts_as_the_part_that_it_is()
    {
        var options = Options("constant") with
        {
            Batch = new BatchOptions { Global = 100, Micro = 5 },
            Schedule = new ScheduleOptions { Scaling = "adascale", ReferenceBatch = 25 },
            Stop = new StopOptions { Epochs = 3 },
        };
        var course = new RunCourse(options, 130, 0);
        for (var step = 1; step <= 4; step++)
        {
            course = course.With(new OperationEvidence(OperationKind.Train, step, 1, new GradientMoments(3, 0, course.Length.SamplesOfStep(step))));
        }

        // A quarter of 100 and of 30; then, at the largest gain, all of them.
        Assert.Equal([0, 25, 32.5, 132.5, 162.5], Enumerable.Range(1, 5).Select(s => course.Progress!.Before(s, course.Length)));
        Assert.Equal(4, course.Next(course.AfterStep(3))!.Value.Operation.Gain);
    }

    [Theory]
    [InlineData("optimizer.name", "adamw", "schedule.scaling is 'adascale': is for sgd, which moves by the gradient itself, and optimizer.name is adamw; name sgd, or take scaling sqrt.")]
    [InlineData("optimizer.name", "lars", "schedule.scaling is 'adascale': is for sgd, which moves by the gradient itself, and optimizer.name is lars; name sgd, or take scaling linear.")]
    [InlineData("schedule.referenceBatch", "200", "schedule.referenceBatch is '200': must be at most the smallest batch of the run with adascale, which is 100: a gain is what a larger batch is worth.")]
    [InlineData("batch.blocks", "1", "batch.blocks is '1': with adascale the blocks of a step are compared, and one block shows no noise; set it to 2 or more.")]
    [InlineData("batch.micro", "100", "batch.micro is '100': with adascale the blocks of a step are compared, and one block shows no noise, and the smallest batch of the run is 100; set it to 50 or less.")]
    [InlineData("stop.epochs", "0", "stop.epochs is not set: with adascale a run is as long as one of the reference batch, and how far that comes in so many steps is not known; set stop.epochs or stop.samples, and stop.steps beside it for a limit.")]
    public void What_cannot_be_is_refused_with_what_helps(string key, string value, string sentence)
    {
        var table = new Dictionary<string, string>
        {
            ["task"] = "any",
            ["model.name"] = "any",
            ["data.name"] = "any",
            ["batch.global"] = "100",
            ["batch.micro"] = "10",
            ["schedule.scaling"] = "adascale",
            ["schedule.referenceBatch"] = "25",
            ["stop.epochs"] = "1",
            ["stop.steps"] = "5",
            ["workers"] = "1",
        };
        Assert.Empty(OptionsReader.ReadRun(table).Problems);
        table[key] = value;
        Assert.Equal([sentence], OptionsReader.ReadRun(table).Problems.Select(p => p.ToString()));
    }

    [Fact]
    public void Every_mistake_is_told_at_once_and_a_batch_that_rises_from_below_the_reference_is_one()
    {
        var table = new Dictionary<string, string>
        {
            ["task"] = "any",
            ["model.name"] = "any",
            ["data.name"] = "any",
            ["batch.global"] = "100",
            ["batch.micro"] = "10",
            ["batch.blocks"] = "1",
            ["batch.schedule.name"] = "warmup",
            ["batch.schedule.first"] = "20",
            ["batch.schedule.overSteps"] = "10",
            ["optimizer.name"] = "lamb",
            ["schedule.scaling"] = "adascale",
            ["stop.epochs"] = "1",
        };
        Assert.Equal(["batch.blocks", "schedule.referenceBatch", "schedule.scaling"], OptionsReader.ReadRun(table).Problems.Select(p => p.Key).Order());
    }

    private static RunOptions Options(string shape) => new()
    {
        Schedule = new ScheduleOptions { Name = shape, FinalRate = 0.01, Scaling = "adascale" },
        Stop = new StopOptions { Epochs = 1 },
    };

    /// <summary>The steps of a run that shows certain moments, to the end that it comes to.</summary>
    private static List<Operation> Run(RunOptions options, long data, Func<long, GradientMoments?> shows) => Walk(options, data, shows).Steps;

    private static RunDecision? End(RunOptions options, long data, Func<long, GradientMoments?> shows) => Walk(options, data, shows).Course.EndsBy;

    private static (List<Operation> Steps, RunCourse Course) Walk(RunOptions options, long data, Func<long, GradientMoments?> shows)
    {
        var (course, decider, steps) = (new RunCourse(options, data, 0), new RunDecider(options), new List<Operation>());
        for (var at = CoursePosition.Start; course.Next(at) is var (operation, next); at = next)
        {
            steps.Add(operation);
            var shown = new OperationEvidence(operation.Kind, operation.Step, 1, shows(operation.Step) is { } moments ? moments with { Samples = operation.Samples.Count } : null);
            course = course.With(shown);
            course = decider.Take(shown, course) is { } decision && course.Takes(decision) ? course.With(decision) : course;
        }

        return (steps, course);
    }

    /// <summary>The gradient fades and the noise stays, about; one estimate in eight is below 0.</summary>
    private static GradientMoments Moments(long step, long samples)
    {
        var random = new Random((int)step);
        return new GradientMoments(50 * (random.NextDouble() - 0.05), (random.NextDouble() - 0.125) * (0.2 + (8.0 / (1 + step))), samples);
    }
}
