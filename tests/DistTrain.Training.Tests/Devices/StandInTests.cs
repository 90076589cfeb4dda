using DistTrain.Cli.Tasks;
using DistTrain.TestKit;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Tasks;
using DistTrain.Training.Tests.Replicas;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Devices;

/// <summary>
/// A device with memory of its own gives the bits of the processor, whose kernels the stand-in uses: weights and batches reach it, gradients and buffers
/// come back, nodes are folded in it and beside it.
/// </summary>
[Collection(AloneInProcess.Name)]
public sealed class StandInTests
{
    private const string Resnet = "model.name=resnet model.width=8 data.name=digits";
    private const string Cnn = "model.name=cnn model.hidden=16 model.dropout=0.2 data.name=digits data.shift=1";
    private const string Gpt = "task=language-model data.name=devils-dictionary model.name=gpt model.window=16 model.width=32 model.layers=2 model.heads=2 model.dropout=0.1";

    [Theory]
    [InlineData("model.name=mlp model.hidden=16 data.name=digits", 1)]
    [InlineData(Cnn, 2)]
    [InlineData(Resnet, 3)]
    [InlineData(Gpt, 4)]
    [InlineData(Gpt + " optimizer.name=adamw optimizer.learningRate=0.003 average.decay=0.9", 1)]
    public void It_computes_the_bits_of_the_processor(string settings, int nodes)
    {
        string[] all = ["task=image-classification", "batch.global=45", "batch.micro=3", "clip.globalNorm=1", .. settings.Split(' ')];
        var options = LocalCluster.Options(all);
        using var processor = new Bench(BuiltInTasks.Catalog().Create(options), all);
        using var standIn = new Bench(BuiltInTasks.Catalog().Create(options), ComputeDevice.StandIn(nodes), all);

        Assert.Equal(processor.Replica.Probe(), standIn.Replica.Probe());
        for (var step = 1; step <= 3; step++)
        {
            Assert.False(processor.Step(step).Skipped);
            standIn.Step(step);
            Assert.Equal(processor.StateBits(), standIn.StateBits());
            Assert.Equal(processor.Evaluate(), standIn.Evaluate());
        }
    }

    [Fact]
    public void A_model_that_is_moved_keeps_its_tensors_and_values_in_other_memory()
    {
        using var model = Tied();

        // The other name keeps the memory in use, which the allocator would else be free to hand out again.
        using var scope = NewDisposeScope();
        var before = model.named_parameters().ToDictionary(p => p.name, p => (p.parameter, Memory: p.parameter.detach(), Values: p.parameter.data<float>().ToArray()));
        ComputeDevice.StandIn(2).Take(model);

        Assert.All(model.named_parameters(), moved =>
        {
            Assert.Same(before[moved.name].parameter, moved.parameter);
            Assert.NotEqual(TorchMemory.Address(before[moved.name].Memory), TorchMemory.Address(moved.parameter));
            Assert.Equal(before[moved.name].Values, moved.parameter.data<float>().ToArray());
            Assert.Equal((true, true), (moved.parameter.requires_grad, moved.parameter.is_leaf));
        });
        Assert.Equal(before.Count, model.named_parameters().Count());
    }

    [Fact]
    public void Parameters_that_are_tied_stay_tied()
    {
        using var processor = new Bench(new ChangedTask(Bench.Pattern(), Tied));
        using var standIn = new Bench(new ChangedTask(Bench.Pattern(), Tied), ComputeDevice.StandIn(2));
        for (var step = 1; step <= 3; step++)
        {
            processor.Step(step);
            standIn.Step(step);
            Assert.Equal(processor.StateBits(), standIn.StateBits());
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void No_more_nodes_than_stated_are_in_the_device(int nodes)
    {
        using var bench = new Bench(Bench.Pattern(), ComputeDevice.StandIn(nodes), "batch.global=200", "batch.micro=4", "batch.blocks=50");
        bench.Step(1);
        var parameters = bench.Replica.Layout.Slots.Count;

        // What other tests left to the collector must not go meanwhile.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var before = Tensor.TotalCount;
        bench.Nodes.Dispose();

        // A node in the device is its vector, a view for every parameter and one for the buffers.
        Assert.Equal(nodes * (parameters + 2), before - Tensor.TotalCount);
    }

    [Fact]
    public void A_node_that_has_left_the_device_cannot_be_accumulated_into()
    {
        using var bench = new Bench(Bench.Pattern(), ComputeDevice.StandIn(1));
        var node = bench.Nodes.Rent();
        node.SetZero(0);
        bench.Nodes.Rent().SetZero(0);

        Assert.Equal(0, node.ToHost().Span(0, 1)[0]);
        Assert.Throws<InvalidOperationException>(() => node.Gradients);
    }

    /// <summary>Also where there is a GPU: no host has a thousand.</summary>
    [Theory]
    [InlineData("cuda:999")]
    [InlineData("cuda")]
    public void A_GPU_that_is_not_there_is_missed_in_a_sentence(string name)
    {
        Assert.SkipWhen(name == "cuda" && cuda_is_available(), "This host has a GPU.");
        var missing = Assert.Throws<DataException>(() => ComputeDevice.Open(name, 0));
        Assert.StartsWith($"device is '{name}', but ", missing.Message);
        Assert.Equal("cpu", ComputeDevice.Open("cpu", 0).Name);
    }

    private static nn.Module Tied()
    {
        var (first, second) = (nn.Linear(8, 8, hasBias: false), nn.Linear(8, 8, hasBias: false));
        second.weight = first.weight;
        return nn.Sequential(nn.Linear(12, 8), first, nn.Tanh(), second, nn.Linear(8, 5));
    }
}
