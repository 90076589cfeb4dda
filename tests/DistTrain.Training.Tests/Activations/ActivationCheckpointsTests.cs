using DistTrain.Cli.Tasks;
using DistTrain.TestKit;
using DistTrain.Training.Activations;
using DistTrain.Training.Devices;
using DistTrain.Training.Tests.Replicas;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Activations;

/// <summary>Layers in segments: the bits of the gradients and buffers are those of layers that keep their activations.</summary>
[Collection(AloneInProcess.Name)]
public sealed class ActivationCheckpointsTests
{
    private const string Gpt = "task=language-model data.name=devils-dictionary model.name=gpt model.window=16 model.width=32 model.layers=5 model.heads=2 model.dropout=0.1";
    private const string BatchNorm = "task=image-classification data.name=digits model.name=resnet model.width=8 model.depth=2 model.norm=batch";
    private const string GroupNorm = "task=image-classification data.name=digits model.name=resnet model.width=8 model.norm=group data.shift=1";

    /// <summary>Two micro-batches a block: their gradients are added to others, where the order of additions shows.</summary>
    private static readonly string[] Ragged = ["batch.global=41", "batch.micro=4", "batch.blocks=5"];

    [Theory]
    [InlineData(Gpt, 2)]
    [InlineData(Gpt, 3)]
    [InlineData(Gpt, 100)]
    [InlineData(BatchNorm, 2)]
    [InlineData(BatchNorm, 6)]
    [InlineData(GroupNorm, 3)]
    public void A_built_in_model_has_the_same_bits(string settings, int segments)
    {
        string[] all = [.. Ragged, "optimizer.name=adamw", "optimizer.learningRate=0.003", .. settings.Split(' ')];
        var options = LocalCluster.Options(all);
        foreach (var device in new[] { ComputeDevice.Cpu, ComputeDevice.StandIn(2) })
        {
            using var kept = new Bench(BuiltInTasks.Catalog().Create(options), all);
            using var again = new Bench(BuiltInTasks.Catalog().Create(options), device, [.. all, $"activationCheckpointing={segments}"]);
            AssertSameBits(kept, again);
        }
    }

    [Theory]
    [InlineData("a weight in a segment and outside")]
    [InlineData("a weight in two segments")]
    [InlineData("a branch around segments")]
    [InlineData("an input without a gradient, to layers without parameters")]
    [InlineData("a frozen layer")]
    [InlineData("segments within a segment")]
    [InlineData("an output that nothing depends on")]
    public void A_model_of_any_form_has_the_same_bits(string form)
    {
        using var kept = new Bench(Task(form), Ragged);
        using var again = new Bench(Task(form), [.. Ragged, "activationCheckpointing=3"]);
        AssertSameBits(kept, again);
        Assert.DoesNotContain(again.Replica.Remarks(1), r => r.StartsWith("activationCheckpointing", StringComparison.Ordinal));

        static ChangedTask Task(string form) => new(Bench.Pattern(), () => new Chain(form));
    }

    [Fact]
    public void Layers_that_do_not_repeat_themselves_are_named()
    {
        var calls = 0;
        using var bench = new Bench(new ChangedTask(Bench.Pattern(), () => new Chain(change: x => x * ++calls)), [.. Ragged, "activationCheckpointing=3"]);
        var exception = Assert.Throws<InvalidOperationException>(() => bench.Step(1));
        Assert.StartsWith("The layers Linear, Drawn computed another output from the same input in the backward pass", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("the first pass", 1, 0)]
    [InlineData("the second pass", 3, 1)] // TorchSharp counts the missing gradient that it then shows the first segment, which is no tensor, and never discounts it.
    public void A_failure_comes_out_and_the_next_step_is_as_ever(string where, int failing, int counted)
    {
        var fails = false;
        var calls = 0;
        using var kept = new Bench(new ChangedTask(Bench.Pattern(), () => new Chain(change: x => x)), Ragged);
        using var bench = new Bench(new ChangedTask(Bench.Pattern(), () => new Chain(change: Failing)), [.. Ragged, "activationCheckpointing=3"]);
        var node = bench.Nodes.Rent();
        bench.Replica.Accumulate(bench.Operation(), 0, node, () => { });
        var before = Tensor.TotalCount;
        (fails, calls) = (true, 0);
        Assert.Equal("no room", Assert.Throws<InvalidDataException>(() => bench.Replica.Accumulate(bench.Operation(), 0, node, () => { })).Message);
        fails = false;
        bench.Replica.ForgetExpected();
        Assert.True(Tensor.TotalCount <= before + counted, $"{Tensor.TotalCount - before - counted} tensors are left of {where}");
        bench.Nodes.Return(node);
        AssertSameBits(kept, bench);

        Tensor Failing(Tensor x) => fails && calls++ == failing ? throw new InvalidDataException("no room") : x;
    }

    [Fact]
    public void A_thousand_micro_batches_leave_no_tensor_and_no_memory()
    {
        using var bench = new Bench(new ChangedTask(Bench.Pattern(), () => new Chain("segments within a segment")), "batch.global=8", "batch.micro=4", "activationCheckpointing=3");
        for (var step = 1; step <= 100; step++)
        {
            bench.Step(step);
        }

        var before = Measure();
        for (var step = 101; step <= 600; step++)
        {
            bench.Step(step);
        }

        var after = Measure();
        Assert.InRange(after.Tensors, 0, before.Tensors);
        Assert.InRange(after.Managed, 0, before.Managed + (1 << 20));

        static (long Tensors, long Managed) Measure()
        {
            for (var i = 0; i < 2; i++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }

            return (Tensor.TotalCount, GC.GetTotalMemory(forceFullCollection: true));
        }
    }

    [Fact]
    public void Outside_of_a_training_pass_the_layers_are_run()
    {
        using var scope = NewDisposeScope();
        using var chain = new Chain();
        var input = randn(3, 12);
        chain.eval();
        var output = chain.call(input);
        output.sum().backward();
        Assert.Equal([3, 5], output.shape);
        Assert.All(chain.parameters(), p => Assert.NotNull(p.grad));
    }

    [Fact]
    public void A_model_without_segments_is_remarked_on()
    {
        using var bench = new Bench(Bench.Pattern(), "activationCheckpointing=3");
        Assert.Empty(bench.Replica.Remarks(1));
        bench.Replica.Probe();
        Assert.StartsWith("activationCheckpointing is 3, and saves no memory: ", Assert.Single(bench.Replica.Remarks(1)), StringComparison.Ordinal);
    }

    private static void AssertSameBits(Bench expected, Bench actual)
    {
        Assert.Equal(expected.Replica.Probe(), actual.Replica.Probe());
        for (var step = 1; step <= 3; step++)
        {
            Assert.False(expected.Step(step).Skipped);
            actual.Step(step);
            Assert.Equal(expected.StateBits(), actual.StateBits());
            Assert.Equal(expected.Evaluate(), actual.Evaluate());
        }
    }

    /// <summary>A chain of layers with dropout and BatchNorm, or what is peculiar about it.</summary>
    private sealed class Chain : nn.Module<Tensor, Tensor>
    {
        private readonly string _form;
        private readonly List<nn.Module<Tensor, Tensor>> _layers = [];
        private readonly nn.Module<Tensor, Tensor> _square = nn.Linear(12, 12);
        private readonly nn.Module<Tensor, Tensor> _last = nn.Linear(12, 5);

        public Chain(string form = "", Func<Tensor, Tensor>? change = null)
            : base(nameof(Chain))
        {
            _form = form;
            var shared = nn.Linear(12, 12);
            for (var i = 0; i < 3; i++)
            {
                _layers.AddRange(form switch
                {
                    "a weight in two segments" => [shared, nn.Dropout(0.3), nn.Tanh()],
                    "a weight in a segment and outside" when i == 1 => [_square, nn.Tanh()],
                    "an input without a gradient, to layers without parameters" when i == 0 => [nn.Dropout(0.3), nn.Tanh()],
                    "segments within a segment" => [new Inner()],
                    _ when change is not null => [nn.Linear(12, 12), new Drawn(change)],
                    _ => [nn.Linear(12, 12), nn.BatchNorm1d(12), nn.Dropout(0.3), nn.Tanh()],
                });
            }

            for (var i = 0; i < _layers.Count; i++)
            {
                register_module($"layer{i:00}", _layers[i]);
            }

            register_module("square", _square);
            register_module("last", _last);
            if (form == "a frozen layer")
            {
                foreach (var parameter in _layers[0].parameters().Concat(_layers[4].parameters()))
                {
                    parameter.requires_grad = false;
                }
            }
        }

        public override Tensor forward(Tensor input)
        {
            using var scope = NewDisposeScope();
            var x = _form.StartsWith("an input", StringComparison.Ordinal) ? input : _square.call(input);
            var y = ActivationCheckpoints.RunSequential(_layers, x);
            y = _form switch
            {
                "a branch around segments" => ActivationCheckpoints.RunSequential(_layers, x) + (y * x),
                "a weight in a segment and outside" => _square.call(y),
                "an output that nothing depends on" => x + nn.functional.relu(y).detach(),
                _ => y,
            };
            return _last.call(y).MoveToOuterDisposeScope();
        }
    }

    private sealed class Inner : nn.Module<Tensor, Tensor>
    {
        private readonly nn.Module<Tensor, Tensor>[] _layers = [nn.Linear(12, 12), nn.BatchNorm1d(12), nn.Linear(12, 12), nn.Dropout(0.3), nn.Tanh()];

        public Inner()
            : base(nameof(Inner))
        {
            for (var i = 0; i < _layers.Length; i++)
            {
                register_module($"{i}", _layers[i]);
            }
        }

        public override Tensor forward(Tensor input) => ActivationCheckpoints.RunSequential(_layers, input);
    }

    private sealed class Drawn(Func<Tensor, Tensor> change) : nn.Module<Tensor, Tensor>(nameof(Drawn))
    {
        public override Tensor forward(Tensor input) => change(input);
    }
}
