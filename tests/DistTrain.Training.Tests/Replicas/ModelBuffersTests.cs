using DistTrain.Core.Layouts;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Replicas;

/// <summary>Running statistics and other buffers: summed over micro-batches like gradients, on any number of workers.</summary>
[Collection(AloneInProcess.Name)]
public sealed class ModelBuffersTests
{
    private const double Momentum = 0.1;

    [Fact]
    public void Running_statistics_move_once_a_step_by_the_weighted_mean_of_the_micro_batches()
    {
        using var task = new ChangedTask(Bench.Pattern(), Model);
        using var bench = new Bench(task, "batch.global=50", "batch.micro=8", "optimizer.learningRate=0");
        using var scope = NewDisposeScope();
        var operation = bench.Operation();
        var (expected, batches) = (zeros(12, ScalarType.Float64), operation.Batches);
        for (var index = 0L; index < batches.MicroBatches; index++)
        {
            var range = batches.MicroBatch(index);
            using var batch = task.Training.Load(bench.Samples(operation, range));
            expected += batch.Inputs.to(ScalarType.Float64).mean([0L]) * range.Count / batches.Samples;
        }

        Assert.False(bench.Step(1).Skipped);

        var actual = tensor(bench.Weights("0.running_mean")).to(ScalarType.Float64);
        Assert.True((actual - (expected * Momentum)).abs().max().ToDouble() < 1e-6);
    }

    [Fact]
    public void A_count_of_batches_takes_the_result_of_micro_batch_0()
    {
        using var task = new ChangedTask(Bench.Pattern(), Model);
        using var bench = new Bench(task);
        bench.Step(1);
        bench.Step(2);
        bench.Step(3);

        Assert.Equal([3, 0, 0, 0], bench.Weights("0.num_batches_tracked"));
    }

    [Fact]
    public void Buffers_come_after_parameters_and_do_not_count_in_the_norm()
    {
        using var task = new ChangedTask(Bench.Pattern(), Model);
        using var bench = new Bench(task);
        var layout = bench.Replica.Layout;
        var reduced = bench.Reduce(bench.Operation());
        var squares = layout.Slots.Where(s => s.Kind == SlotKind.Parameter)
            .Sum(s => reduced.ToHost().Span(s.Offset, (int)s.Count).ToArray().Sum(g => (double)g * g));

        Assert.All(layout.Slots.Where(s => s.Kind == SlotKind.Parameter), s => Assert.True(s.Offset < layout.BuffersStart));
        Assert.Equal(Math.Sqrt(squares) / reduced.Header.Weight, bench.Apply(reduced).GradientNorm, 1e-9);
    }

    [Fact]
    public void A_skipped_step_leaves_the_buffers_as_they_were()
    {
        using var task = new ChangedTask(Bench.Pattern(), Model);
        using var bench = new Bench(task);
        bench.Step(1);
        var before = bench.StateBits();
        var reduced = bench.Reduce(bench.Operation(2));
        reduced.ToHost().Span(0, 1)[0] = float.NaN;

        Assert.True(bench.Apply(reduced).Skipped);
        Assert.Equal(before, bench.StateBits());
    }

    [Fact]
    public void An_infinite_statistic_that_stays_is_no_change()
    {
        using var task = new ChangedTask(Bench.Pattern(), () => new Limited());
        using var bench = new Bench(task);

        Assert.False(bench.Step(1).Skipped);
        Assert.Equal([float.PositiveInfinity], bench.Weights("limit"));
    }

    private static nn.Module Model() => nn.Sequential(nn.BatchNorm1d(12), nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 5));

    private sealed class Limited : nn.Module<Tensor, Tensor>
    {
        private readonly nn.Module<Tensor, Tensor> _layer = nn.Linear(12, 5);

        public Limited()
            : base(nameof(Limited))
        {
            register_module("layer", _layer);
            register_buffer("limit", tensor(float.PositiveInfinity).reshape(1));
        }

        public override Tensor forward(Tensor input) => _layer.call(input);
    }
}
