using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Options;

/// <summary>What may change when a run is resumed, key by key.</summary>
public sealed class ResumeRulesTests
{
    private static readonly string[] Began =
    [
        "task=image-classification", "model.name=cnn", "data.name=digits", "stop.epochs=2", "debug.delayPerMicroBatch.0=10ms", "optimizer.momentum=0.9",
    ];

    [Theory]
    [InlineData("workers=5")]
    [InlineData("name=other")]
    [InlineData("checkpoint.everySteps=7")]
    [InlineData("failureDetection=9s")]
    [InlineData("device=cpu")]
    [InlineData("data.path=/elsewhere")]
    [InlineData("data.url=http://elsewhere/x.zip")]
    [InlineData("data.sha256=12")]
    [InlineData("data.stream=true")]
    [InlineData("data.cache=1GB")]
    [InlineData("evaluate.everySteps=3")]
    [InlineData("stop.epochs=4")]
    [InlineData("debug.delayPerMicroBatch.0=")]
    [InlineData("debug.delayPerMicroBatch.1=5ms")]
    public void What_cannot_change_the_steps_already_done_is_free(string change) => Assert.Empty(Check([], change));

    [Theory]
    [InlineData("batch.micro=3", "batch.micro is '3': was 16 when the run began, and decides its bits: give it that value, or begin a new run.")]
    [InlineData("seed=2", "seed is '2': was 1 when the run began, and decides its bits: give it that value, or begin a new run.")]
    [InlineData("model.dropout=0.5", "model.dropout is '0.5': was not set when the run began, and decides its bits: give it that value, or begin a new run.")]
    [InlineData("schedule.warmupSteps=9", "schedule.warmupSteps is '9': was 0 when the run began, and decides its bits: give it that value, or begin a new run.")]
    public void What_decides_the_bits_stays(string change, string problem) => Assert.Equal([problem], Check([], change));

    [Fact]
    public void A_cosine_schedule_ends_with_the_run() => Assert.Equal(
        ["stop.epochs is '4': was 2 when the run began: a cosine schedule ends with the run, so the steps already done would have had other rates."],
        Check(["schedule.name=cosine"], "stop.epochs=4"));

    [Theory]
    [InlineData("evaluate.everyEpochs=2", "was 1 when the run began", "batch.schedule.name plateau", "batch.schedule.name=plateau", "batch.schedule.most=640")]
    [InlineData("evaluate.everySteps=3", "was 0 when the run began", "stop.patience", "stop.patience=4")]
    [InlineData("evaluate.everySamples=3", "was 0 when the run began", "batch.schedule.name plateau", "batch.schedule.name=plateau", "batch.schedule.most=640", "stop.patience=4")]
    public void Where_evaluations_are_counted_they_stay_where_they_are(string change, string was, string counts, params string[] more) => Assert.Equal(
        [$"{change.Split('=')[0]} is '{change.Split('=')[1]}': {was}, and {counts} counts evaluations: with others it would decide otherwise; give it that value, or begin a new run."],
        Check(more, change));

    [Theory]
    [InlineData("evaluate.everyEpochs=2", "stop.validationLoss=0.1")]
    [InlineData("workers=3", "batch.schedule.name=plateau", "batch.schedule.most=640")]
    [InlineData("stop.patience=9", "stop.patience=4")]
    public void What_no_count_of_evaluations_hangs_on_is_free(string change, params string[] more) => Assert.Empty(Check(more, change));

    private static List<string> Check(string[] more, string change)
    {
        var began = Table([.. Began, .. more]);
        var values = new Dictionary<string, string>(began);
        var (key, value) = (change[..change.IndexOf('=')], change[(change.IndexOf('=') + 1)..]);
        values.Remove(key);
        if (value.Length > 0)
        {
            values[key] = value;
        }

        return [.. ResumeRules.Check(OptionsReader.Write(Read(began)), Read(values)).Select(p => p.ToString())];
    }

    private static Dictionary<string, string> Table(IEnumerable<string> settings) => settings.ToDictionary(s => s[..s.IndexOf('=')], s => s[(s.IndexOf('=') + 1)..]);

    private static RunOptions Read(Dictionary<string, string> values)
    {
        var (options, problems) = OptionsReader.ReadRun(values);
        Assert.Empty(problems);
        return options;
    }
}
