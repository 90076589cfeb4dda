using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Runs;

/// <summary>What is asked for in vain is said, and nothing else is.</summary>
public sealed class CourseRemarksTests
{
    [Theory]
    [InlineData("batch.noiseScale=true")]
    [InlineData("batch.noiseScale=true", "batch.micro=auto", "batch.global=1")]
    [InlineData("batch.micro=64", "batch.blocks=1")]
    [InlineData("batch.schedule.name=stages", "batch.schedule.stages.2.9 epochs=1000")]
    [InlineData("batch.schedule.name=warmup", "batch.schedule.first=8", "batch.schedule.overEpochs=2.9")]
    [InlineData("batch.schedule.name=decay", "batch.schedule.most=1000", "schedule.name=step", "schedule.everyEpochs=2")]
    [InlineData("schedule.warmupEpochs=3")]
    [InlineData("schedule.warmupEpochs=4", "stop.epochs=0", "stop.steps=50", "batch.schedule.name=plateau", "batch.schedule.most=1000")]
    public void What_can_be_is_not_remarked_on(params string[] keys) => Assert.Empty(On(keys));

    [Theory]
    [InlineData("batch.noiseScale measures nothing: a step of 64 samples is one micro-batch, as batch.micro is 64, and one block shows no noise; set batch.micro to 32 or less.", "batch.noiseScale=true", "batch.micro=64")]
    [InlineData("batch.noiseScale measures nothing: a step of 1 sample is one micro-batch, as batch.micro is 16, and one block shows no noise; raise the batch.", "batch.noiseScale=true", "batch.global=1")]
    [InlineData("batch.noiseScale measures nothing: batch.blocks is 1, and one block shows no noise; set it to 2 or more.", "batch.noiseScale=true", "batch.blocks=1")]
    [InlineData(
        "batch.noiseScale measures nothing in steps of up to 16 samples: each is one micro-batch, as batch.micro is 16, and one block shows no noise; set batch.micro to 4 or less.",
        "batch.noiseScale=true", "batch.schedule.name=warmup", "batch.schedule.first=8", "batch.schedule.overEpochs=1")]
    [InlineData("batch.schedule.stages.2 epochs is 5,000 and the data hold 1,000 samples: every epoch from there is one step of 1,000.", "batch.schedule.name=stages", "batch.schedule.stages.2 epochs=5000")]
    [InlineData("batch.schedule.most is 1,001 and the data hold 1,000 samples: more than those are in no step.", "batch.schedule.name=plateau", "batch.schedule.most=1001")]
    [InlineData("batch.schedule.stages.3 epochs would begin after 48 steps, and the run ends after 48: no step has those 128 samples.", "batch.schedule.name=stages", "batch.schedule.stages.3 epochs=128")]
    [InlineData("batch.schedule.stages.9 epochs would begin after 80 steps, and the run ends after 40: no step has those 256 samples.",
        "batch.schedule.name=stages", "batch.schedule.stages.1 epoch=128", "batch.schedule.stages.9 epochs=256", "stop.epochs=4")]
    [InlineData("The warm-up of the batch would end after 106 steps, and the run ends after 85: no step has the 64 samples of batch.global.", "batch.schedule.name=warmup", "batch.schedule.first=32", "batch.schedule.overEpochs=4")]
    [InlineData("The batch would grow after 48 steps, where the rate would decay, and the run ends after 48: it does not.", "batch.schedule.name=decay", "batch.schedule.most=1000", "schedule.name=step", "schedule.everyEpochs=3")]
    [InlineData("batch.schedule.most is batch.global, 64: the batch grows nowhere, and the rate decays.", "batch.schedule.name=decay", "batch.schedule.most=64", "schedule.name=step", "schedule.everyEpochs=1")]
    [InlineData("The warm-up of the rate takes 4,000 samples, and the run 3,000: the rate does not come to optimizer.learningRate.", "schedule.warmupEpochs=4")]
    public void What_is_in_vain_is_remarked_on(string remark, params string[] keys) => Assert.Equal([remark], On(keys));

    [Fact]
    public void Where_nothing_is_evaluated_nothing_follows_from_it() => Assert.Equal(
        ["The data hold no validation samples, so nothing is evaluated: a plateau, stop.patience and stop.validationLoss never see anything."], On(["stop.patience=2"], validation: 0));

    private static IEnumerable<string> On(string[] keys, long validation = 10)
    {
        var table = new Dictionary<string, string> { ["task"] = "t", ["model.name"] = "m", ["data.name"] = "d", ["batch.global"] = "64", ["stop.epochs"] = "3" };
        keys.Select(k => k.Split('=')).ToList().ForEach(k => table[k[0]] = k[1]);
        var (options, problems) = OptionsReader.ReadRun(table);
        Assert.Empty(problems);
        return CourseRemarks.On(options, new RunCourse(options.WithMicro(16), 1000, validation));
    }
}
