using CsCheck;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Core.Schedules;

namespace DistTrain.Core.Tests.Schedules;

/// <summary>The global batch over the run as the configuration says it.</summary>
public sealed class BatchScheduleTests
{
    private const long DataSize = 1000;

    [Fact]
    public void Stages_take_the_batch_they_name_from_the_first_step_behind_them_on()
    {
        var length = LengthOf(("batch.schedule.name", "stages"), ("batch.schedule.stages.2 epochs", "256"), ("batch.schedule.stages.0.5 epochs", "128"));
        Assert.Equal([new(0, 0, 64), new(8, 512, 128), new(20, 2000, 256)], length.Stages);
    }

    [Fact]
    public void Stages_in_steps_are_in_steps_of_the_run_itself()
    {
        var length = LengthOf(("batch.schedule.name", "stages"), ("batch.schedule.stages.10 steps", "128"), ("batch.schedule.stages.20 steps", "250"));
        Assert.Equal([0, 10, 20], length.Stages.Select(s => s.Steps));
        Assert.Equal([64, 128, 128, 250], new[] { 10L, 11, 20, 21 }.Select(length.BatchOf));
    }

    [Fact]
    public void A_warm_up_rises_in_equal_increments_of_whole_micro_batches_and_is_over_when_it_says() =>
        Gen.Select(Gen.Long[1, 200], Gen.Long[1, 1500], Gen.Int[1, 60], Gen.Long[1, 5000]).Always(drawn =>
        {
            var (first, more, micro, over) = drawn;
            var length = LengthOf(
                ("batch.global", $"{first + more}"), ("batch.micro", $"{micro}"), ("batch.schedule.name", "warmup"), ("batch.schedule.first", $"{first}"), ("batch.schedule.overSamples", $"{over}"));
            var stages = length.Stages;
            Assert.Equal(new BatchStage(0, 0, first), stages[0]);
            Assert.Equal(first + more, stages[^1].Batch);
            Assert.InRange(stages.Count, 2, BatchSchedule.MostIncrements + 1);
            Assert.True(stages[^1].Samples >= over && length.SamplesOf(stages[^1].Steps - 1) < over);
            Assert.All(stages.Zip(stages.Skip(1)), s => Assert.True(s.First.Batch < s.Second.Batch && s.First.Samples < s.Second.Samples));
            Assert.All(stages.Skip(1).SkipLast(1), s => Assert.True(s.Batch % micro == 0));

            // Never above the straight line.
            Assert.All(stages.Skip(1), s => Assert.True(s.Batch <= first + (more * Math.Min(1, (double)s.Samples / over))));
        });

    [Fact]
    public void A_warm_up_in_steps_takes_so_many_steps()
    {
        var length = LengthOf(("batch.global", "64"), ("batch.micro", "8"), ("batch.schedule.name", "warmup"), ("batch.schedule.first", "32"), ("batch.schedule.overSteps", "8"));
        Assert.Equal([(0, 32), (2, 40), (4, 48), (6, 56), (8, 64)], length.Stages.Select(s => (s.Steps, s.Batch)));
    }

    [Fact]
    public void Where_the_rate_would_decay_the_batch_grows_until_its_cap_and_the_rate_takes_the_rest()
    {
        (string, string)[] decaying =
        [
            ("schedule.name", "step"), ("schedule.everyEpochs", "2"), ("schedule.factor", "0.5"), ("schedule.warmupEpochs", "1"), ("optimizer.learningRate", "0.4"), ("stop.epochs", "12"),
        ];
        var (decayed, grown) = (Rates(decaying), Rates([.. decaying, ("batch.schedule.name", "decay"), ("batch.schedule.most", "300")]));
        Assert.Equal([64, 128, 256, 300], grown.Length.Stages.Select(s => s.Batch));
        Assert.Equal([0, 3000, 5000, 7000], grown.Length.Stages.Select(s => s.Samples));
        foreach (var (samples, rate, batch) in new[] { (2999L, 0.4, 64L), (3000, 0.4, 128), (4999, 0.4, 128), (5000, 0.4, 256), (6999, 0.4, 256), (7000, 0.234375, 300), (9000, 0.1171875, 300) })
        {
            Assert.Equal(rate, grown.Schedule.RateOf(samples, 1));
            Assert.Equal(batch, grown.Length.BatchOf(grown.Length.StepsTo(samples + 1)));

            // Rate over batch, which the noise of the steps follows, is that of the run whose rate decays.
            Assert.Equal(decayed.Schedule.RateOf(samples, 1) / 64, rate / batch, 1e-12);
        }

        Assert.True(grown.Length.Steps(new StopOptions { Epochs = 12 }) < decayed.Length.Steps(new StopOptions { Epochs = 12 }) / 2);
    }

    /// <summary>Rate over batch is that of the run whose rate decays, wherever the cap is, also below the first growth.</summary>
    [Theory]
    [InlineData(64, "64", 0.1)]
    [InlineData(300, "64 300", 0.1)]
    [InlineData(640, "64 640", 0.1)]
    [InlineData(6399, "64 640 6399", 0.1)]
    [InlineData(90, "64 80 90", 0.8)]
    [InlineData(100, "64 80 100", 0.8)]
    public void The_batch_grows_to_its_cap(long most, string batches, double factor)
    {
        (string, string)[] decaying = [("schedule.name", "step"), ("schedule.everySamples", "700"), ("schedule.factor", $"{factor}"), ("optimizer.learningRate", "0.4")];
        var (decayed, grown) = (Rates(decaying), Rates([.. decaying, ("batch.schedule.name", "decay"), ("batch.schedule.most", $"{most}")]));
        Assert.Equal(batches, string.Join(' ', grown.Length.Stages.Select(s => s.Batch)));
        Assert.All(Enumerable.Range(1, 60).Select(step => (long)step), step =>
        {
            var before = grown.Length.SamplesOf(step - 1);
            Assert.Equal(decayed.Schedule.RateOf(before, 1) / 64, grown.Schedule.RateOf(before, 1) / grown.Length.BatchOf(step), 1e-12);
        });
    }

    [Fact]
    public void A_batch_that_changes_does_not_move_the_rate() => Gen.Select(Gen.Long[1, 3000], Gen.Long[1, 600], Gen.Long[0, 5000]).Always((when, batch, samples) =>
    {
        (string, string)[] given = [("schedule.name", "cosine"), ("schedule.warmupSteps", "20"), ("stop.epochs", "5")];
        var (constant, staged) = (Rates(given), Rates([.. given, ("batch.schedule.name", "stages"), ($"batch.schedule.stages.{when} samples", $"{batch}")]));
        Assert.Equal(constant.Schedule.RateOf(samples, 1), staged.Schedule.RateOf(samples, 1));
    });

    [Theory]
    [InlineData("batch.schedule.stages is not set: say when and how large, such as batch.schedule.stages.2 epochs=256.", "name=stages")]
    [InlineData("batch.schedule.stages.soon is '128': must name when, above 0, such as 2 epochs, 500 steps or 100000 samples.", "name=stages", "stages.soon=128")]
    [InlineData("batch.schedule.stages.1.5 steps is '128': must name when, above 0, such as 2 epochs, 500 steps or 100000 samples.", "name=stages", "stages.1.5 steps=128")]
    [InlineData("batch.schedule.stages.1 epoch is '0': must be between 1 and 1099511627776.", "name=stages", "stages.1 epoch=0")]
    [InlineData("batch.schedule.stages.9 steps is '2': is counted in another unit than the stage before: count all in epochs, all in steps or all in samples.", "name=stages", "stages.1 epoch=2", "stages.9 steps=2")]
    [InlineData("batch.schedule.stages.1.0 epochs is '4': begins when the stage of 1 epoch does: keep one of the two.", "name=stages", "stages.1 epoch=2", "stages.2 epochs=3", "stages.1.0 epochs=4")]
    [InlineData("batch.schedule.stages is '1 epoch': belongs to batch.schedule.name: stages; drop the stages, or name that schedule.", "stages.1 epoch=2")]
    [InlineData("batch.schedule.first is '64': must be at least 1 and below batch.global, which is 64: a warm-up rises.", "name=warmup", "first=64", "overSteps=3")]
    [InlineData("batch.schedule.overEpochs is not set: a warm-up needs one of overEpochs, overSteps and overSamples.", "name=warmup", "first=8")]
    [InlineData("batch.schedule is 'several warm-ups': keep one of overEpochs, overSteps and overSamples.", "name=warmup", "first=8", "overEpochs=1", "overSteps=9")]
    [InlineData("batch.schedule is 'several intervals': keep one of everyEpochs, everySteps and everySamples.", "name=noise", "most=128", "first=32", "everySteps=10", "everySamples=100")]
    [InlineData("batch.schedule.most is '0': must be at least batch.global, which is 64: it caps how far the batch grows.", "name=plateau")]
    [InlineData("batch.schedule.name is 'decay': takes the place of a rate that decays, and schedule.name is constant: set that to step.", "name=decay", "most=128")]
    [InlineData("batch.schedule.everyEpochs is not set: to follow the noise scale needs one of everyEpochs, everySteps and everySamples.", "name=noise", "most=128", "first=32")]
    [InlineData("batch.schedule.first is '0': must be at least 1 and at most batch.global, which is 64: the batch does not fall below it.", "name=noise", "most=128", "everySteps=10")]
    [InlineData("batch.schedule.first is '16': to follow the noise scale the blocks of a step are compared, and one block shows no noise; set it to 32 or more, or lower batch.micro, which is 16, to 8 or less.", "name=noise", "most=128", "first=16", "everySteps=10")]
    public void Mistakes_are_told_in_words(string sentence, params string[] keys) =>
        Assert.Equal([sentence], Read([.. keys.Select(k => k.Split('=')).Select(k => ($"batch.schedule.{k[0]}", k[1]))]).Problems.Select(p => p.ToString()));

    [Theory]
    [InlineData(32, "8", 64, "64", "to follow the noise scale the blocks of a step are compared, and one block shows no noise; set it to 64 or more, or lower batch.micro, which is 32, to 4 or less.")]
    [InlineData(32, "32", 64, "64", "to follow the noise scale the blocks of a step are compared, and one block shows no noise; set it to 64 or more, or lower batch.micro, which is 32, to 16 or less.")]
    [InlineData(8, "8", 8, "64", "to follow the noise scale the blocks of a step are compared, and one block shows no noise; lower batch.micro, which is 8, to 4 or less.")]
    [InlineData(0, "1", 64, "64", "to follow the noise scale the blocks of a step are compared, and one block shows no noise; set it to 2 or more.")]
    [InlineData(32, "64", 64, "1", "to follow the noise scale the blocks of a step are compared, and one block shows no noise; set it to 2 or more.")]
    [InlineData(32, "33", 64, "64", null)]
    [InlineData(0, "2", 64, "64", null)]
    public void A_batch_that_follows_the_noise_scale_never_comes_to_one_block(int micro, string first, int global, string blocks, string? remedy) => Assert.Equal(
        remedy is null ? [] : [$"{(blocks == "1" ? "batch.blocks is '1'" : $"batch.schedule.first is '{first}'")}: {remedy}"],
        Read([
            ("batch.global", $"{global}"), ("batch.micro", micro == 0 ? "auto" : $"{micro}"), ("batch.blocks", blocks), ("batch.schedule.name", "noise"), ("batch.schedule.first", first),
            ("batch.schedule.most", "1000"), ("batch.schedule.everySteps", "10"),
        ]).Problems.Select(p => p.ToString()));

    [Theory]
    [InlineData("first=8", "warmup or noise", "most=128 name=plateau")]
    [InlineData("most=128", "decay or plateau or noise", "first=8 name=warmup overSteps=9")]
    [InlineData("overEpochs=0.5", "warmup", "")]
    [InlineData("overSteps=9", "warmup", "most=128 name=plateau")]
    [InlineData("overSamples=9", "warmup", "")]
    [InlineData("factor=1.5", "plateau or noise", "first=8 name=warmup overSteps=9")]
    [InlineData("patience=2", "plateau", "everySteps=9 first=32 most=128 name=noise")]
    [InlineData("minimumImprovement=0.1", "plateau", "")]
    [InlineData("everyEpochs=0.5", "noise", "most=128 name=plateau")]
    [InlineData("everySteps=9", "noise", "name=stages stages.1 epoch=9")]
    [InlineData("everySamples=9", "noise", "")]
    public void A_key_of_another_schedule_is_not_passed_over_in_silence(string key, string names, string others)
    {
        var (name, value) = (key.Split('=')[0], key.Split('=')[1]);
        (string, string)[] given = [.. others.Replace("1 epoch", "1epoch", StringComparison.Ordinal).Split(' ', StringSplitOptions.RemoveEmptyEntries).Append(key)
            .Select(k => ($"batch.schedule.{k.Split('=')[0]}", k.Split('=')[1]))];
        var schedule = given.FirstOrDefault(g => g.Item1 == "batch.schedule.name").Item2 ?? "constant";
        Assert.Equal(
            [
                $"batch.schedule.{name} is '{value}': belongs to batch.schedule.name: {names}, and that is {schedule}; drop it, as --set batch.schedule.{name}= does, "
                    + $"or name {(names.Contains(' ', StringComparison.Ordinal) ? "such a schedule" : "that schedule")}.",
            ],
            Read(given).Problems.Select(p => p.ToString()));

        // What a run writes down, every key as resolved, is no mistake.
        Assert.Empty(OptionsReader.ReadRun(OptionsReader.Write(Read(given[..^1]).Options)).Problems);
    }

    [Fact]
    public void All_mistakes_of_a_schedule_are_told_at_once() => Assert.Equal(
        [
            "batch.schedule.stages.2 epochs", "batch.schedule.stages.2epochs", "batch.schedule.first", "batch.schedule.factor",
        ],
        Read([
            ("batch.schedule.name", "stages"), ("batch.schedule.stages.2 epoch", "9"), ("batch.schedule.stages.2 epochs", "8"), ("batch.schedule.stages.2epochs", "7"),
            ("batch.schedule.first", "4"), ("batch.schedule.factor", "3"),
        ]).Problems.Select(p => p.Key));

    [Fact]
    public void A_cosine_cannot_end_with_a_number_of_steps_that_nobody_knows_the_samples_of() => Assert.Equal(
        ["schedule.name is 'cosine': ends with the run, and how many samples 100 steps are is not known where the batch follows what is measured: set stop.epochs or stop.samples."],
        Read([("schedule.name", "cosine"), ("stop.epochs", "0"), ("stop.steps", "100"), ("batch.schedule.name", "plateau"), ("batch.schedule.most", "128")]).Problems.Select(p => p.ToString()));

    private static RunLength LengthOf(params (string, string)[] keys) => BatchSchedule.LengthOf(Valid(keys), DataSize);

    private static (RunLength Length, LearningRateSchedule Schedule) Rates((string, string)[] keys)
    {
        var length = LengthOf(keys);
        return (length, length.Schedule(Valid(keys)));
    }

    private static RunOptions Valid((string, string)[] keys)
    {
        var (options, problems) = Read(keys);
        Assert.Empty(problems);
        return options;
    }

    private static (RunOptions Options, IReadOnlyList<OptionProblem> Problems) Read((string Key, string Value)[] keys)
    {
        var table = new Dictionary<string, string> { ["task"] = "t", ["model.name"] = "m", ["data.name"] = "d", ["batch.global"] = "64", ["stop.epochs"] = "3" };
        foreach (var (key, value) in keys)
        {
            table[key] = value;
        }

        return OptionsReader.ReadRun(table);
    }
}
