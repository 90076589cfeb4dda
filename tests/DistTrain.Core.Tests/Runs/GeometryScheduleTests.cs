using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Runs;

public sealed class GeometryScheduleTests
{
    private static readonly BatchGeometry First = new(1000, 64, 16);

    [Fact]
    public void A_change_counts_from_its_step_on()
    {
        var schedule = new GeometrySchedule(First, new GeometryChange(OperationKind.Train, 20, 16), new GeometryChange(OperationKind.Train, 10, 32));
        Assert.Equal([64, 32, 32, 16, 16], new[] { 9L, 10, 19, 20, 21 }.Select(step => schedule.Of(OperationKind.Train, step).Micro));
        Assert.Equal([First, First with { Micro = 32 }, First with { Micro = 16 }], schedule.All);
    }

    [Fact]
    public void An_evaluation_comes_after_its_step()
    {
        var schedule = new GeometrySchedule(First, new GeometryChange(OperationKind.Evaluate, 10, 32));
        Assert.Equal((64, 32, 32), (schedule.Of(OperationKind.Train, 10).Micro, schedule.Of(OperationKind.Evaluate, 10).Micro, schedule.Of(OperationKind.Train, 11).Micro));
    }

    [Fact]
    public void What_does_not_fit_once_does_not_come_back()
    {
        var schedule = new GeometrySchedule(First, new GeometryChange(OperationKind.Train, 10, 128), new GeometryChange(OperationKind.Train, 30, 8))
            .With(new GeometryChange(OperationKind.Train, 5, 32));
        Assert.Equal([64, 32, 32, 8], new[] { 4L, 5, 10, 30 }.Select(step => schedule.Of(OperationKind.Train, step).Micro));
    }

    [Fact]
    public void A_run_may_be_told_its_schedule()
    {
        var (options, problems) = OptionsReader.Read<RunOptions>(new Dictionary<string, string> { ["task"] = "t", ["batch.microFrom.20"] = "8" });
        Assert.Empty(problems);
        Assert.Equal([16, 8], new[] { 19L, 20 }.Select(step => options.Geometries.Of(OperationKind.Train, step).Micro));
        Assert.Equal("8", OptionsReader.Write(options)["batch.microFrom.20"]);
    }

    [Theory]
    [InlineData("batch.microFrom.0", "8", "must name a step, from 1")]
    [InlineData("batch.microFrom.x", "8", "must name a step, from 1")]
    [InlineData("batch.microFrom.3", "0", "must be between 1 and 1048576")]
    [InlineData("batch.microFrom.3", "half", "must be a whole number")]
    public void A_mistake_in_it_is_named(string key, string value, string remedy)
    {
        var (_, problems) = OptionsReader.ReadRun(new Dictionary<string, string>
        {
            ["task"] = "t",
            ["model.name"] = "m",
            ["data.name"] = "d",
            ["stop.epochs"] = "1",
            [key] = value,
        });
        Assert.Equal((key, remedy), problems.Select(p => (p.Key, p.Remedy)).Single());
    }
}
