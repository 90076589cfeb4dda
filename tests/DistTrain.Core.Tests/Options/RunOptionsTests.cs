using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Options;

public class RunOptionsTests
{
    /// <summary>The least that a run needs.</summary>
    private static readonly Dictionary<string, string> Least = new()
    {
        ["task"] = "image-classification",
        ["model.name"] = "cnn",
        ["data.name"] = "digits",
        ["stop.epochs"] = "2",
    };

    [Fact]
    public void The_least_configuration_has_no_problems()
    {
        var (options, problems) = OptionsReader.ReadRun(Least);
        Assert.Empty(problems);
        Assert.Equal(("cnn", "digits", 2L), (options.Model.Name, options.Data.Name, options.Stop.Epochs));
        Assert.Equal(new(64, 16, 64), options.Geometry);
    }

    [Fact]
    public void What_is_written_reads_back()
    {
        var values = With(
            ("model.dropout", "0.25"), ("data.path", "/data"), ("batch.global", "1099511627776"),
            ("optimizer.learningRate", "0.30000000000000004"),
            ("seed", "18446744073709551615"), ("failureDetection", "750ms"),
            ("debug.delayPerMicroBatch.1", "20ms"), ("schedule.name", "cosine"));
        var (options, problems) = OptionsReader.ReadRun(values);
        Assert.Empty(problems);
        var written = OptionsReader.Write(options);
        Assert.All(values, entry => Assert.Equal(entry.Value, written[entry.Key]));
        Assert.Equal(written, OptionsReader.Write(OptionsReader.ReadRun(written).Options));
    }

    [Theory]
    [InlineData("auto")]
    [InlineData("Auto")]
    public void The_size_of_micro_batches_may_be_left_to_the_workers(string word)
    {
        var (options, problems) = OptionsReader.ReadRun(With(("batch.micro", word), ("memory.limit", "2GB")));
        Assert.Empty(problems);
        Assert.True(options.Batch.IsAuto);
        Assert.Equal(("auto", "2GB"), (OptionsReader.Write(options)["batch.micro"], OptionsReader.Write(options)["memory.limit"]));
        Assert.Contains("batch.micro=auto", OptionsReader.IdentityLines(options));
        Assert.DoesNotContain(OptionsReader.IdentityLines(options), line => line.StartsWith("memory", StringComparison.Ordinal));

        // What was found counts where it was to be found, and nowhere else.
        Assert.Equal(24, options.WithMicro(24).Geometry.Micro);
        Assert.Equal(24, options.WithMicro(24).WithMicro(8).Geometry.Micro);
    }

    [Theory]
    [InlineData("batch.global", "0", "must be between 1 and 1099511627776")]
    [InlineData("batch.global", "many", "must be a whole number between 1 and 1099511627776")]
    [InlineData("batch.global", "64.5", "must be a whole number between 1 and 1099511627776")]
    [InlineData("batch.micro", "9999999999", "must be a whole number between 1 and 1048576, or auto")]
    [InlineData("batch.micro", "0", "must be between 1 and 1048576, or auto")]
    [InlineData("batch.micro", "many", "must be a whole number between 1 and 1048576, or auto")]
    [InlineData("batch.global", "auto", "must be a whole number between 1 and 1099511627776")]
    [InlineData("memory.limit", "much", "must be an amount of bytes above 0, such as 10GiB or 500MB")]
    [InlineData("memory.limit", "2g", "must be an amount of bytes above 0, such as 10GiB or 500MB")]
    [InlineData("memory.limit", "99999999999999TB", "must be less than 8 EiB, which is 2^63 bytes")]
    [InlineData("batch.blocks", "65537", "must be between 1 and 65536")]
    [InlineData("optimizer.name", "lion", "must be sgd or adam or adamw or lars or lamb")]
    [InlineData("optimizer.learningRate", "-0.1", "must be between 0 and 1000000")]
    [InlineData("optimizer.learningRate", "NaN", "must be a number between 0 and 1000000")]
    [InlineData("optimizer.momentum", "1", "must be between 0 and 0.99999")]
    [InlineData("optimizer.nesterov", "yes", "must be true or false")]
    [InlineData("schedule.name", "linear", "must be constant or step or cosine")]
    [InlineData("schedule.warmupSamples", "-1", "must be between 0 and 1125899906842624")]
    [InlineData("seed", "-1", "must be a whole number, 0 or more")]
    [InlineData("workers", "0", "must be between 1 and 4096")]
    [InlineData("device", "tpu", "must be cpu, cuda, cuda:1 and so on, or auto for a GPU where there is one")]
    [InlineData("failureDetection", "2", "must be a duration such as 500ms, 2s or 5m between 200ms and 10m")]
    [InlineData("failureDetection", "100ms", "must be between 200ms and 10m")]
    [InlineData("debug.delayPerMicroBatch.1", "slow", "must be a duration such as 500ms, 2s or 5m")]
    [InlineData("task", "", "must not be empty")]
    [InlineData("batch", "64", "is a group of keys; set one of those below it, such as batch.global")]
    [InlineData("model", "cnn", "is a group of keys; set one of those below it, such as model.name")]
    [InlineData("batch.microFrom", "4", "takes values below it; set one, such as batch.microFrom.100=8")]
    [InlineData("batch.schedule.stages", "{\"2 epochs\": 256}", "takes values below it; set one, such as batch.schedule.stages.2 epochs=256")]
    [InlineData("debug.delayPerMicroBatch", "4", "takes values below it; set one, such as debug.delayPerMicroBatch.0=20ms")]
    [InlineData("batch.globel", "64", "no such key; see disttrain train --help (the nearest is batch.global)")]
    [InlineData("wrokers", "2", "no such key; see disttrain train --help (the nearest is workers)")]
    [InlineData("somethingElse", "2", "no such key; see disttrain train --help")]
    [InlineData("geometry", "2", "no such key; see disttrain train --help")]
    public void A_wrong_value_gets_a_sentence(string key, string value, string remedy)
    {
        var (_, problems) = OptionsReader.ReadRun(With((key, value)));
        Assert.Equal($"{key} is '{value}': {remedy}.", Assert.Single(problems).ToString());
    }

    [Theory]
    [InlineData("schedule.scaling", "schedule.referenceBatch=64")]
    [InlineData("batch.schedule.name", "batch.schedule.first=8", "batch.schedule.stages.2 epochs=64")]
    [InlineData("schedule.name", "batch.schedule.name=decay", "batch.schedule.most=128")]
    public void What_follows_from_a_wrong_value_is_not_told_as_well(string key, params string[] others) => Assert.Equal(
        [key], OptionsReader.ReadRun(With([(key, "foo"), .. others.Select(o => o.Split('=')).Select(o => (o[0], o[1]))])).Problems.Select(p => p.Key));

    [Fact]
    public void What_is_missing_is_named() =>
        Assert.Equal(
            [
                "task is not set: set it to what is trained: a built-in task or one your program adds.",
                "model.name is not set: name the model, such as mlp.",
                "data.name is not set: name the data, such as digits.",
                "stop is not set: set one of stop.epochs, stop.steps or stop.samples above 0.",
            ],
            Sentences());

    [Fact]
    public void Relations_between_keys_are_checked()
    {
        Assert.Equal(
            ["optimizer.nesterov is 'true': needs optimizer.momentum above 0; set one or drop nesterov."],
            Sentences(With(("optimizer.nesterov", "true"), ("optimizer.momentum", "0"))));
        Assert.Equal(
            ["optimizer.nesterov is 'true': is a form of sgd's momentum; drop it or name sgd."],
            Sentences(With(("optimizer.nesterov", "true"), ("optimizer.name", "lars"))));
        Assert.Equal(
            ["schedule is 'several warm-ups': keep one of warmupEpochs, warmupSteps and warmupSamples."],
            Sentences(With(("schedule.warmupEpochs", "1"), ("schedule.warmupSamples", "1"))));
        Assert.Equal(
            ["schedule is 'several decays': keep one of everyEpochs, everySteps and everySamples."],
            Sentences(With(("schedule.name", "step"), ("schedule.everySteps", "1"), ("schedule.everySamples", "1"))));
        Assert.Equal(
            ["schedule.everyEpochs is not set: a step schedule needs everyEpochs, everySteps or everySamples."],
            Sentences(With(("schedule.name", "step"))));
        Assert.Equal(
            ["activationCheckpointing is '1': has no effect, because the last segment keeps its activations; set it to 2 or more, or to 0."],
            Sentences(With(("activationCheckpointing", "1"))));
        Assert.Equal(
            ["debug.delayPerMicroBatch.first is 'first': must name a worker by its number, from 0."],
            Sentences(With(("debug.delayPerMicroBatch.first", "20ms"))));
    }

    [Fact]
    public void All_mistakes_are_reported_together()
    {
        var sentences = Sentences(new Dictionary<string, string>
        {
            ["task"] = "t",
            ["batch.global"] = "0",
            ["batch.micro"] = "x",
            ["optimizer.nesterov"] = "true",
            ["optimizer.momentum"] = "0",
            ["data.name"] = "d",
            ["stop.epochs"] = "1",
            ["zzzzzzzz"] = "1",
        });
        Assert.Equal(
            ["batch.global", "batch.micro", "zzzzzzzz", "model.name", "optimizer.nesterov"],
            sentences.Select(s => s.Split(' ')[0]));
    }

    [Fact]
    public void A_value_that_cannot_be_read_is_not_reported_as_missing_too()
    {
        var values = With(("stop.epochs", "two"));
        Assert.Equal(["stop.epochs is 'two': must be a whole number between 0 and 1099511627776."], Sentences(values));
    }

    [Fact]
    public void One_key_in_two_spellings_is_a_mistake_and_not_a_crash() =>
        Assert.Equal(
            ["Stop.Epochs is '3': the same key stands there in another spelling; keep one."],
            Sentences(With(("Stop.Epochs", "3"))));

    [Fact]
    public void What_cannot_change_the_bits_is_not_in_the_identity()
    {
        var one = OptionsReader.ReadRun(Least).Options;
        var other = OptionsReader.ReadRun(With(
            ("name", "other"), ("workers", "7"), ("activationCheckpointing", "4"), ("device", "cpu"), ("transport", "tcp"), ("allowMixedHosts", "true"), ("failureDetection", "9s"),
            ("start.checkpoint", "/a/folder"), ("checkpoint.keep", "9"), ("checkpoint.everySteps", "5"), ("memory.limit", "2GB"), ("debug.delayPerMicroBatch.0", "1s"),
            ("data.path", "/elsewhere"), ("data.url", "http://h/x"), ("data.sha256", "12"), ("data.stream", "true"), ("data.cache", "1GB"))).Options;
        Assert.Equal(OptionsReader.IdentityLines(one), OptionsReader.IdentityLines(other));
        var hostOnly = OptionsReader.Keys(typeof(RunOptions)).Where(k => k.HostOnly).Select(k => k.Key).ToList();
        Assert.Equal(
            [
                "name", "start.checkpoint", "checkpoint.everySteps", "checkpoint.keep", "workers", "activationCheckpointing", "device", "transport", "allowMixedHosts", "failureDetection",
                "memory.limit", "debug.delayPerMicroBatch",
            ],
            hostOnly);
        var identity = OptionsReader.IdentityLines(other).ToList();
        Assert.All(
            hostOnly,
            key => Assert.DoesNotContain(identity, line => line.StartsWith(key, StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("task", "other")]
    [InlineData("model.name", "mlp")]
    [InlineData("model.hidden", "3")]
    [InlineData("data.name", "other")]
    [InlineData("batch.global", "65")]
    [InlineData("batch.micro", "8")]
    [InlineData("batch.blocks", "8")]
    [InlineData("optimizer.learningRate", "0.1")]
    [InlineData("schedule.warmupSteps", "1")]
    [InlineData("clip.globalNorm", "1")]
    [InlineData("stop.epochs", "3")]
    [InlineData("seed", "2")]
    [InlineData("threads", "2")]
    [InlineData("instructions", "avx2")]
    [InlineData("debug.foldPerWorker", "true")]
    public void What_can_change_the_bits_is_in_the_identity(string key, string value)
    {
        var (options, problems) = OptionsReader.ReadRun(With((key, value)));
        Assert.Empty(problems);
        Assert.Contains($"{key}={value}", OptionsReader.IdentityLines(options));
        var unchanged = OptionsReader.ReadRun(Least).Options;
        Assert.NotEqual(OptionsReader.IdentityLines(unchanged), OptionsReader.IdentityLines(options));
    }

    private static Dictionary<string, string> With(params (string Key, string Value)[] changes)
    {
        var values = new Dictionary<string, string>(Least);
        foreach (var (key, value) in changes)
        {
            values[key] = value;
        }

        return values;
    }

    private static IEnumerable<string> Sentences(Dictionary<string, string>? values = null) =>
        OptionsReader.ReadRun(values ?? []).Problems.Select(p => p.ToString());
}
