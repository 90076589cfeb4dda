using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Options;

/// <summary>Whatever a valid configuration says of the course of its run, its steps can be measured.</summary>
public sealed class MeasuredRunTests
{
    private static readonly string[] Least = ["task=any", "model.name=any", "data.name=any", "batch.global=100", "batch.micro=10", "stop.epochs=2"];

    [Theory]
    [InlineData("constant")]
    [InlineData("noise", "schedule.name=cosine", "batch.schedule.name=noise", "batch.schedule.first=20", "batch.schedule.most=640", "batch.schedule.everySteps=9")]
    [InlineData("plateau", "schedule.name=cosine", "batch.schedule.name=plateau", "batch.schedule.most=640", "batch.schedule.factor=1.5", "batch.schedule.patience=2")]
    [InlineData("decay", "schedule.name=step", "schedule.everyEpochs=1", "schedule.factor=0.5", "batch.schedule.name=decay", "batch.schedule.most=640")]
    [InlineData("warmup", "batch.schedule.name=warmup", "batch.schedule.first=10", "batch.schedule.overEpochs=0.5", "schedule.scaling=linear", "schedule.referenceBatch=10")]
    [InlineData("stages", "batch.schedule.name=stages", "batch.schedule.stages.1 epoch=200", "batch.microFrom.4=2")]
    [InlineData("constant", "stop.patience=3", "stop.validationLoss=0.1", "stop.minimumImprovement=0.01", "evaluate.everySteps=5")]
    [InlineData("constant", "schedule.name=cosine", "schedule.scaling=adascale", "schedule.referenceBatch=25")]
    [InlineData("noise", "schedule.scaling=adascale", "schedule.referenceBatch=20", "batch.schedule.name=noise", "batch.schedule.first=20", "batch.schedule.most=640", "batch.schedule.everyEpochs=1")]
    [InlineData("constant", "batch.micro=auto", "workers=2", "schedule.scaling=adascale", "schedule.referenceBatch=25")]
    public void It_takes_so_many_steps_of_one_size_and_is_valid_with_any_number_of_workers(string schedule, params string[] settings)
    {
        var options = Read([.. Least, .. settings]);
        foreach (var workers in (int[])[1, 4])
        {
            var measured = Read([.. OptionsReader.Write(MeasuredRun.Of(options, 60) with { Workers = workers }).Select(e => $"{e.Key}={e.Value}")]);
            Assert.Equal((100, BatchScheduleOptions.Constant, 60), (measured.Batch.Global, measured.Batch.Schedule.Name, measured.Stop.Steps));
            Assert.Equal(new StopOptions { Steps = 60 }, measured.Stop);
            Assert.Equal(new EvaluateOptions { EveryEpochs = 0 }, measured.Evaluate);

            // What it costs is measured with the rest.
            Assert.Equal(options.MeasuresNoise, measured.MeasuresNoise);
            Assert.Equal((options.Batch.Micro, options.Optimizer, options.Clip), (measured.Batch.Micro, measured.Optimizer, measured.Clip));
        }

        Assert.Equal(
            schedule == "constant" ? null : $"batch.schedule.name is {schedule}, and every step that is measured takes 2,000 samples.",
            MeasuredRun.Remark(options, 2000));
    }

    private static RunOptions Read(string[] settings)
    {
        // The last of several counts.
        var table = new Dictionary<string, string>();
        foreach (var setting in settings)
        {
            table[setting[..setting.IndexOf('=')]] = setting[(setting.IndexOf('=') + 1)..];
        }

        var (options, problems) = OptionsReader.ReadRun(table);
        Assert.Empty(problems);
        return options;
    }
}
