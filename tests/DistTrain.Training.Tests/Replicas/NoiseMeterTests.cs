using DistTrain.Cli.Tasks;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Layouts;
using DistTrain.TestKit;
using DistTrain.Training.Devices;

namespace DistTrain.Training.Tests.Replicas;

/// <summary>What is measured of blocks and steps for the noise scale, against its definition in float64.</summary>
[Collection(AloneInProcess.Name)]
public sealed class NoiseMeterTests
{
    private const string Resnet = "model.name=resnet model.width=8 model.norm=batch data.name=digits";

    [Theory]
    [InlineData("sgd")]
    [InlineData("adam")]
    [InlineData("adamw")]
    [InlineData("lars")]
    [InlineData("lamb")]
    public void Sums_are_those_of_the_definition(string rule)
    {
        string[] settings = ["task=image-classification", "batch.global=50", "batch.micro=7", "batch.noiseScale=true", $"optimizer.name={rule}", "optimizer.epsilon=1e-5", .. Resnet.Split(' ')];
        using var bench = new Bench(BuiltInTasks.Catalog().Create(LocalCluster.Options(settings)), settings);
        var scales = rule is "adam" or "adamw" or "lamb";
        for (var step = 1; step <= 3; step++)
        {
            var operation = bench.Operation(step);
            var parameters = bench.Replica.Layout.Slots.Where(s => s.Kind == SlotKind.Parameter).SelectMany(s => Enumerable.Range((int)s.Offset, (int)s.Count)).ToArray();
            var scale = Scale(bench, step);
            var (plain, scaled) = (0.0, 0.0);
            for (var block = 0; block < operation.Batches.Blocks; block++)
            {
                var (gradient, header) = bench.Block(operation, block);
                plain += parameters.Sum(i => (double)gradient[i] * gradient[i]) / header.Weight;
                scaled += parameters.Sum(i => Math.Pow(gradient[i] * scale[i], 2)) / header.Weight;
            }

            var reduced = bench.Reduce(operation);
            var sum = reduced.ToHost().Span(0, (int)bench.Replica.Layout.Count).ToArray();
            var applied = bench.Apply(reduced, 0.01);
            bench.Nodes.Return(reduced);

            Close(new GradientSums(8, plain, parameters.Sum(i => (double)sum[i] * sum[i])), applied.Gradients!, 1e-9);
            Assert.Equal(scales, applied.Preconditioned is not null);
            if (scales)
            {
                Close(new GradientSums(8, scaled, parameters.Sum(i => Math.Pow(sum[i] * scale[i], 2))), applied.Preconditioned!, 1e-5);
            }
        }
    }

    [Fact]
    public void Measuring_changes_no_bit_of_the_state_and_unmeasured_there_is_nothing()
    {
        using var measured = new Bench(Bench.Pattern(), "batch.noiseScale=true", "optimizer.name=adam");
        using var plain = new Bench(Bench.Pattern(), "optimizer.name=adam");
        for (var step = 1; step <= 3; step++)
        {
            Assert.NotNull(measured.Step(step).Gradients);
            Assert.Null(plain.Step(step).Gradients);
            Assert.Equal(plain.StateBits(), measured.StateBits());
        }
    }

    [Fact]
    public void A_device_with_memory_of_its_own_measures_the_same_and_nothing_of_the_rule()
    {
        string[] settings = ["batch.noiseScale=true", "optimizer.name=adam"];
        using var processor = new Bench(Bench.Pattern(), settings);
        using var device = new Bench(Bench.Pattern(), ComputeDevice.StandIn(2), settings);

        Close(processor.Step(1).Gradients!, device.Step(1).Gradients!, 1e-12);
        Assert.Null(device.Step(2).Preconditioned);
    }

    /// <summary>1 / (sqrt(v / (1 - b2^t)) + eps) at the step's start.</summary>
    private static double[] Scale(Bench bench, int step)
    {
        var count = (int)bench.Replica.Layout.Count;
        return bench.Replica.State.SingleOrDefault(s => s.Name == "square").Vector is { } square
            ? [.. square.Span(0, count).ToArray().Select(v => 1 / (Math.Sqrt(step == 1 ? 0 : v / (1 - Math.Pow(0.999, step - 1))) + 1e-5))]
            : new double[count];
    }

    private static void Close(GradientSums expected, GradientSums actual, double relative)
    {
        Assert.Equal(expected.Blocks, actual.Blocks);
        Assert.Equal(expected.BlockSquares, actual.BlockSquares, expected.BlockSquares * relative);
        Assert.Equal(expected.SumSquare, actual.SumSquare, expected.SumSquare * relative);
    }
}
