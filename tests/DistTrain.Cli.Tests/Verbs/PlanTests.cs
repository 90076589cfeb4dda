using System.Text.Json.Nodes;
using CsCheck;
using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Plans;

namespace DistTrain.Cli.Tests.Verbs;

/// <summary>A plan for numbers of which none divides another.</summary>
public sealed class PlanTests
{
    [Fact]
    public async Task Odd_numbers_are_planned_exactly()
    {
        var (code, text, error) = await Cli.RunAsync(
            "plan", "--workers", "3", "--set", "data.count=1000", "--set", "batch.global=77", "--set", "batch.micro=10", "--set", "stop.epochs=2",
            "--set", "schedule.name=cosine", "--set", "schedule.warmupSteps=2");
        Assert.Equal((0, ""), (code, error));
        Assert.Equal(
            """
            toy: a global batch of 77 samples on 3 workers

              training samples    1,000  an epoch
              validation samples  250
              steps per epoch     13     the last holds 76 samples
              steps               26     2,000 samples in all
              micro-batches M     8      = ceil(77 / 10), 9 or 10 samples each
              blocks K            8      of 1 micro-batch each

            A step: 77 samples, 8 micro-batches, 8 blocks
              rank  blocks  which  micro-batches  samples  sends nodes (level, index)
                 0       2  0..1               2       19  (1,0)
                 1       3  2..4               3       29  (1,1) (0,4)
                 2       3  5..7               3       29  (0,5) (1,3)

            The last step of an epoch: 76 samples, 8 micro-batches, 8 blocks
              rank  blocks  which  micro-batches  samples  sends nodes (level, index)
                 0       2  0..1               2       19  (1,0)
                 1       3  2..4               3       28  (1,1) (0,4)
                 2       3  5..7               3       29  (0,5) (1,3)

            Learning rate
              step       rate
                 1      0.025
                 3       0.05
                 6    0.04809
                13    0.03144
                20   0.009767
                26  0.0002088

            """,
            text,
            ignoreLineEndingDifferences: true);
    }

    [Fact]
    public async Task A_global_batch_above_the_data_is_warned_of()
    {
        var (code, text, error) = await Cli.RunAsync("plan", "--set", "batch.global=100", "--set", "batch.micro=7");
        Assert.Equal(0, code);
        Assert.Equal("warning: batch.global is 100 and the data hold 40 samples: every epoch is one step of 40.\n", error);
        Assert.Contains("= ceil(40 / 7), 6 or 7 samples each", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Workers_without_blocks_are_warned_of()
    {
        var (_, text, error) = await Cli.RunAsync("plan", "--workers", "5");
        Assert.Equal("warning: 5 workers share 3 blocks: 2 of them have nothing to compute; lower batch.micro, or raise batch.global or batch.blocks.\n", error);
        Assert.Contains("none", text, StringComparison.Ordinal);

        (_, _, error) = await Cli.RunAsync("plan", "--workers", "2", "--set", "batch.blocks=1");
        Assert.StartsWith("warning: 2 workers share 1 block: 1 of them has nothing to compute; ", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Json_says_the_same()
    {
        var (code, text, _) = await Cli.RunAsync("plan", "--workers", "2", "--json", "--set", "data.count=25");
        var plan = JsonNode.Parse(text)!;
        Assert.Equal((0, 3, 5), (code, (int)plan["stepsPerEpoch"]!, (int)plan["lastStep"]!["samples"]!));
        Assert.Equal(10, plan["step"]!["ranks"]!.AsArray().Sum(r => (int)r!["samples"]!));
    }

    [Fact]
    public async Task A_picture_that_cannot_be_written_costs_nobody_the_plan()
    {
        var (code, text, error) = await Cli.RunAsync("plan", "--plot", "/proc/self/x.svg");
        Assert.Equal(1, code);
        Assert.Contains("a global batch of ", text, StringComparison.Ordinal);
        Assert.StartsWith("error: The picture /proc/self/x.svg cannot be written: ", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_folder_is_no_picture()
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["plan.svg"]);
        var (code, text, error) = await Cli.RunAsync("plan", "--plot", folder["plan.svg"]);
        Assert.Equal((2, ""), (code, text));
        Assert.StartsWith($"error: --plot is '{folder["plan.svg"]}', which is a folder: name a file.\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_rate_that_follows_the_batch_is_shown_on_both_sides_of_every_change_and_drawn()
    {
        using var folder = new TempFolder();
        string[] run =
        [
            "plan", "--set", "data.count=1000", "--set", "batch.global=100", "--set", "batch.schedule.name=stages", "--set", "batch.schedule.stages.2 epochs=400", "--set", "stop.epochs=4",
            "--set", "schedule.scaling=sqrt", "--set", "optimizer.name=adamw", "--set", "optimizer.learningRate=0.01",
        ];
        var (code, text, error) = await Cli.RunAsync([.. run, "--plot", folder["plan.svg"]]);
        Assert.Equal((0, ""), (code, error));
        Assert.Contains(
            """
            Learning rate and global batch
              step  batch  rate  beta1  beta2  epsilon
                 1    100  0.01    0.9  0.999    1E-08
                 6    100  0.01    0.9  0.999    1E-08
                13    100  0.01    0.9  0.999    1E-08
                20    100  0.01    0.9  0.999    1E-08
                21    400  0.02    0.6  0.996    5E-09
                26    400  0.02    0.6  0.996    5E-09
              sqrt scaling: a batch of 400 is 4 times the reference of 100: rate x 2, beta1 0.9 -> 0.6, beta2 0.999 -> 0.996, epsilon 1E-08 -> 5E-09

            """.ReplaceLineEndings("\n"), text, StringComparison.Ordinal);
        Assert.Contains("global batch, samples", File.ReadAllText(folder["plan.svg"]), StringComparison.Ordinal);

        var json = JsonNode.Parse((await Cli.RunAsync([.. run, "--json"])).Out)!;
        Assert.Equal([100, 100, 100, 100, 400, 400], json["learningRates"]!.AsArray().Select(r => (int)r!["globalBatch"]!));
        Assert.Equal(0.6, (double)json["learningRates"]![4]!["beta1"]!, 1e-12);
        Assert.Equal(2.0, (double)json["learningRates"]![4]!["epochs"]!);
        Assert.StartsWith("sqrt scaling: ", (string?)json["scaling"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_rate_that_follows_the_gain_is_shown_at_both_extremes_and_so_is_the_length()
    {
        using var folder = new TempFolder();
        string[] run =
        [
            "plan", "--set", "data.count=1000", "--set", "batch.global=100", "--set", "batch.micro=10", "--set", "stop.epochs=4", "--set", "schedule.name=cosine", "--set", "optimizer.learningRate=0.01",
            "--set", "schedule.scaling=adascale", "--set", "schedule.referenceBatch=25",
        ];
        var (code, text, error) = await Cli.RunAsync([.. run, "--plot", folder["plan.svg"]]);
        Assert.Equal((0, ""), (code, error));
        Assert.Contains("  steps               40 to 160  4,000 to 16,000 samples in all\n", text, StringComparison.Ordinal);
        Assert.Contains(
            """
            Learning rate
              step  rate at gain 1  at the largest gain
                 1            0.01                 0.04
                20        0.009656              0.02157
                40        0.008604            6.165E-05
                80        0.005098                    -
               120        0.001535                    -
               160       9.638E-07                    -
              adascale scaling: a batch of 100 is 4 times the reference of 25: rate x 1 to 4, by how many steps of the reference a step is worth, as measured until two steps before it; the run ends when its steps are worth those of a run of the reference, after as many samples or up to 4 times as many

            """.ReplaceLineEndings("\n"), text, StringComparison.Ordinal);

        // Both are rates, so they lie on one axis, and one is four times as high as the other; where the batch changes, it has the axis on the right.
        var picture = File.ReadAllText(folder["plan.svg"]);
        Assert.Contains(">learning rate at the largest gain<", picture, StringComparison.Ordinal);
        Assert.DoesNotContain("(right)", picture, StringComparison.Ordinal);
        Assert.DoesNotContain("global batch", picture, StringComparison.Ordinal);
        await Cli.RunAsync([.. run, "--plot", folder["plan.svg"], "--set", "batch.schedule.name=stages", "--set", "batch.schedule.stages.1 epoch=200"]);
        picture = File.ReadAllText(folder["plan.svg"]);
        Assert.Contains(">learning rate at the largest gain (left)<", picture, StringComparison.Ordinal);
        Assert.Contains(">global batch, samples (right)<", picture, StringComparison.Ordinal);

        var json = JsonNode.Parse((await Cli.RunAsync([.. run, "--json"])).Out)!;
        Assert.Equal((160, 40, 4000), ((int)json["steps"]!, (int)json["fewestSteps"]!, (int)json["fewestSamples"]!));
        Assert.Equal(0.04, (double)json["learningRates"]![0]!["highestRate"]!, 1e-12);
        Assert.Null(json["learningRates"]![5]!["highestRate"]);
    }

    [Fact]
    public async Task A_batch_that_follows_evaluations_is_planned_between_its_bounds_and_so_is_said()
    {
        string[] run =
        [
            "plan", "--set", "data.count=1000", "--set", "batch.global=100", "--set", "stop.epochs=4", "--set", "schedule.name=cosine", "--set", "schedule.scaling=linear",
            "--set", "batch.schedule.name=plateau", "--set", "batch.schedule.most=350", "--set", "stop.patience=5", "--set", "stop.validationLoss=0.25",
        ];
        var (code, text, error) = await Cli.RunAsync(run);
        Assert.Equal((0, ""), (code, error));
        Assert.Matches("\n  steps +12 to 40 +4,000 samples in all\n", text);
        Assert.Contains(
            "\n  batch.schedule.name is plateau: by what evaluations show the global batch may grow up to 350 samples. Steps and samples are the fewest and the most there may be, time is the most, "
            + "and a step and the rate are those of 100 samples.\n  stop.patience is 5 and stop.validationLoss is 0.25: by what evaluations show the run may end earlier, and take less of everything.\n",
            text, StringComparison.Ordinal);
        Assert.Contains("\n  linear scaling: a batch of 350 is 3.5 times the reference of 100: rate x 3.5\n", text, StringComparison.Ordinal);

        var json = JsonNode.Parse((await Cli.RunAsync([.. run, "--json"])).Out)!;
        Assert.Equal((40, 12, 4000), ((int)json["steps"]!, (int)json["fewestSteps"]!, (int)json["fewestSamples"]!));
        Assert.Equal(2, json["undecided"]!.AsArray().Count);

        (_, text, error) = await Cli.RunAsync([.. run, "--set", "data.count=3"]);
        Assert.DoesNotContain("may ", text, StringComparison.Ordinal);
        Assert.Contains("warning: The data hold no validation samples, so nothing is evaluated: a plateau, stop.patience and stop.validationLoss never see anything.\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_batch_that_follows_the_noise_scale_may_fall_as_well()
    {
        string[] run =
        [
            "plan", "--set", "data.count=1000", "--set", "batch.global=100", "--set", "batch.schedule.name=noise", "--set", "batch.schedule.first=50", "--set", "batch.schedule.most=400",
            "--set", "batch.schedule.everySteps=5",
        ];
        var (_, text, _) = await Cli.RunAsync([.. run, "--set", "stop.epochs=2"]);
        Assert.Matches("\n  steps +6 to 40 +2,000 samples in all\n", text);
        Assert.Contains("\n  batch.schedule.name is noise: by the noise scale the global batch may be anything between 50 and 400 samples. ", text, StringComparison.Ordinal);
        Assert.DoesNotContain("end earlier", text, StringComparison.Ordinal);

        // So many steps take between as many of the least batch and of the most, in epochs of 20 and of 3.
        (_, text, _) = await Cli.RunAsync([.. run, "--set", "stop.epochs=0", "--set", "stop.steps=7"]);
        Assert.Matches("\n  steps +7 +350 to 2,400 samples in all\n", text);
    }

    /// <summary>Whatever the run decides on the way, it is no shorter and no longer than its plan says.</summary>
    [Fact]
    public void A_run_stays_within_the_bounds_of_its_plan() =>
        Gen.Select(Gen.Long[1, 400], Gen.Long[1, 60], Gen.Long[0, 60], Gen.Bool, Gen.Long[0, 3], Gen.Select(Gen.Long[0, 40], Gen.Long[0, 900]), Gen.Int[0, 1000]).Sample(
            (data, first, more, plateau, epochs, limits, seed) =>
            {
                var (steps, samples) = limits;
                var options = new RunOptions
                {
                    Batch = new BatchOptions
                    {
                        Global = plateau ? first : first + more,
                        Schedule = new BatchScheduleOptions { Name = plateau ? "plateau" : "noise", First = plateau ? 0 : first, Most = first + (2 * more) },
                    },
                    Stop = new StopOptions { Epochs = epochs, Steps = steps, Samples = samples },
                };
                if (options.Stop is { Epochs: 0, Steps: 0, Samples: 0 })
                {
                    return;
                }

                var plan = RunPlan.Of(options, data, 1);
                var (random, course, batch) = (new Random(seed), new RunCourse(options, data, 1), options.Batch.Global);
                for (var step = 1L; step <= course.TotalSteps; step++)
                {
                    if (random.Next(4) == 0)
                    {
                        batch = random.NextInt64(plateau ? batch : first, options.Batch.Schedule.Most + 1);
                        course = course.With(new RunDecision(OperationKind.Train, step, batch, "it was drawn"));
                    }
                }

                Assert.InRange(course.TotalSteps, plan.Shortest?.Steps ?? plan.Steps, plan.Steps);
                Assert.InRange(course.TotalSamples, plan.Shortest?.Samples ?? plan.Samples, plan.Samples);
            },
            iter: 2_000);

    [Fact]
    public async Task Verbose_shows_every_time_limit_that_follows_from_the_setting()
    {
        var (code, text, _) = await Cli.RunAsync("plan", "--verbose", "--set", "failureDetection=4s");
        Assert.Equal(0, code);
        Assert.Contains("\nTime limits, from failureDetection = 4s\n  limit ", text, StringComparison.Ordinal);
        Assert.Matches("\n  heartbeat +800ms +how often ", text);
        Assert.Matches("\n  coordinatorPatience +3m +how long a worker holds its state ", text);

        // Whoever adds a limit says here that it is shown.
        string[] names =
        [
            "heartbeat", "silence", "startUpSilence", "noProgress", "linkReport", "link", "gathering", "formerWorkers", "firstRedial", "longestRedial", "firstAnswer",
            "coordinatorPatience", "firstPause", "longestPause", "settledSession", "lastWords", "verdict", "processStart", "grace", "stop", "processEnd", "summary",
            "patientRedial", "stuck", "stuckAtFirst", "ownership", "clusterCall", "clusterQuestion",
        ];
        var shown = text[text.IndexOf("Time limits", StringComparison.Ordinal)..].TrimEnd().Split('\n')[2..].Select(l => l.Trim().Split(' ')[0]);
        Assert.Equal(names, shown);

        var (_, brief, _) = await Cli.RunAsync("plan", "--set", "failureDetection=4s");
        Assert.DoesNotContain("Time limits", brief, StringComparison.Ordinal);
        var (_, json, _) = await Cli.RunAsync("plan", "--json", "--set", "failureDetection=4s");
        var limits = JsonNode.Parse(json)!["timeLimits"]!.AsArray();
        Assert.Equal(names, limits.Select(l => (string)l!["name"]!));
        Assert.Equal((4000.0, 800.0), ((double)JsonNode.Parse(json)!["failureDetectionMs"]!, (double)limits[0]!["milliseconds"]!));
    }

    [Fact]
    public async Task Missing_data_is_a_sentence_and_exit_code_1()
    {
        Assert.Equal((1, "", "error: data.path holds no numbers: put some there.\n"), await Cli.RunAsync("plan", "--set", "data.count=-1"));
        Assert.Equal((1, "", "error: numbers holds no training samples; check data.path.\n"), await Cli.RunAsync("plan", "--set", "data.count=0"));
    }

    /// <summary>The closed forms of the plan against the cursor that a run walks step by step.</summary>
    [Fact]
    public void Length_in_closed_form_is_the_length_of_the_walk()
    {
        Gen.Select(Gen.Long[1, 60], Gen.Long[1, 80], Gen.Long[0, 3], Gen.Long[0, 40], Gen.Long[0, 200]).Sample(
            (data, batch, epochs, steps, samples) =>
            {
                var stop = new StopOptions { Epochs = epochs, Steps = steps, Samples = samples };
                if (stop is { Epochs: 0, Steps: 0, Samples: 0 })
                {
                    return;
                }

                var (cursor, walked, used) = (new EpochCursor(0, 0), 0L, 0L);
                while (!((epochs > 0 && cursor.Epoch >= epochs) || (steps > 0 && walked >= steps) || (samples > 0 && used >= samples)))
                {
                    (var taken, cursor) = cursor.Take(data, batch);
                    used += taken.Count;
                    walked++;
                    Assert.Equal(taken.Count, new RunLength(data, batch).SamplesOfStep(walked));
                }

                var length = new RunLength(data, batch);
                Assert.Equal((walked, used), (length.Steps(stop), length.SamplesOf(walked)));
            },
            iter: 2_000);
    }

    [Fact]
    public void The_ranks_of_a_plan_share_the_step_exactly()
    {
        Gen.Select(Gen.Long[1, 5000], Gen.Int[1, 70], Gen.Int[1, 70], Gen.Int[1, 12]).Sample(
            (samples, micro, blocks, workers) =>
            {
                var plan = StepPlan.Of(samples, new BatchGeometry(samples, micro, blocks), workers);
                Assert.Equal(
                    (samples, plan.Batch.MicroBatches, plan.Batch.Blocks),
                    (plan.Ranks.Sum(r => r.Samples), plan.Ranks.Sum(r => r.MicroBatches), plan.Ranks.Sum(r => r.Blocks.Count)));
            },
            iter: 500);
    }
}
