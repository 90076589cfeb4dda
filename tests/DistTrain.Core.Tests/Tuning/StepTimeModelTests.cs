using CsCheck;
using DistTrain.Core.Batches;
using DistTrain.Core.Tuning;

namespace DistTrain.Core.Tests.Tuning;

/// <summary>What was measured is predicted as measured; what was not follows from it by the rules that the model states.</summary>
public sealed class StepTimeModelTests
{
    private static readonly StepCost[] Costs = [new(1, 0.001, 0, 0.01, 0.0003), new(2, 0.002, 0.05, 0.012, 0.0006), new(4, 0.004, 0.1, 0.02, 0.0012)];

    [Theory]
    [InlineData(1, 100, 0.1, 0, 0.01)]
    [InlineData(2, 50, 0.1, 0.05, 0.012)]
    [InlineData(4, 25, 0.1, 0.1, 0.02)]
    public void What_was_measured_comes_out(int workers, long samples, double compute, double exchange, double update) =>
        Same(new StepTime(compute, exchange, update), new StepTimeModel(Costs, room: 4).Of(workers, workers, samples, nodes: 1));

    [Fact]
    public void Between_two_measured_numbers_the_time_of_a_sample_grows_evenly() =>
        Assert.Equal(0.003 * 33, new StepTimeModel(Costs, room: 4).Of(3, 3, 33, nodes: 1).Compute, 9);

    [Fact]
    public void Workers_beyond_the_room_take_turns()
    {
        var model = new StepTimeModel(Costs[..2], room: 2);

        // Four compute a quarter each, two at a time: as long as two with half each. Together they move three times what two move.
        Same(new StepTime(0.1, 0.15, 0.024), model.Of(4, 4, 25, nodes: 1));
        Assert.Equal(2 * 25 * 0.0006, model.OfEvaluation(4, 4, 25), 9);
    }

    [Fact]
    public void Who_has_no_blocks_takes_no_processor_from_those_that_compute() =>
        Assert.Equal(50 * 0.002, new StepTimeModel(Costs[..2], room: 2).Of(8, 2, 50, nodes: 1).Compute, 9);

    [Fact]
    public void A_second_node_is_half_an_exchange_more() =>
        Assert.Equal(0.05 * 1.5, new StepTimeModel(Costs[..2], room: 2).Of(2, 2, 50, nodes: 2).Exchange, 9);

    [Fact]
    public void One_worker_has_to_be_measured() => Assert.Throws<ArgumentException>(() => new StepTimeModel(Costs[1..], room: 2));

    [Fact]
    public void More_samples_never_take_less_and_no_time_is_negative() =>
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 40], Gen.Long[0, 10_000], Gen.Int[1, 8], Gen.Int[1, 16]).Always(
            ((int Workers, int Computing, long Samples, int Nodes, int Room) c) =>
            {
                var model = new StepTimeModel(Costs, c.Room);
                var time = model.Of(c.Workers, Math.Min(c.Workers, c.Computing), c.Samples, c.Nodes);
                Assert.True(time is { Compute: >= 0, Exchange: >= 0, Update: > 0 });
                Assert.True(model.Of(c.Workers, Math.Min(c.Workers, c.Computing), c.Samples + 1, c.Nodes).Total > time.Total);
            },
            500);

    [Fact]
    public void A_measured_part_of_a_step_has_blocks_like_the_whole_and_one_for_every_worker() =>
        Gen.Select(Gen.Long[1, 100_000], Gen.Int[1, 64], Gen.Int[1, 70], Gen.Int[1, 8], Gen.Int[1, 50]).Always(
            ((long Samples, int Micro, int Blocks, int Workers, int PerWorker) c) =>
            {
                var geometry = new BatchGeometry(c.Samples, c.Micro, c.Blocks);
                var (whole, most) = (new BatchPlan(c.Samples, geometry), (long)c.PerWorker * c.Workers);
                var step = MeasuredStep.Of(c.Samples, geometry, c.Workers, most);
                var part = new BatchPlan(step.Samples, step.Geometry);
                Assert.InRange(step.Samples, 1, c.Samples);
                Assert.InRange(part.MicroBatches, 1, Math.Max(most, c.Workers));
                Assert.True(part.Blocks >= Math.Min(Math.Min(c.Workers, whole.Blocks), part.MicroBatches));
                if (whole.MicroBatches <= most)
                {
                    Assert.Equal(new MeasuredStep(c.Samples, geometry), step);
                }
            },
            1000);

    private static void Same(StepTime expected, StepTime actual)
    {
        Assert.Equal(expected.Compute, actual.Compute, 9);
        Assert.Equal(expected.Exchange, actual.Exchange, 9);
        Assert.Equal(expected.Update, actual.Update, 9);
    }
}
