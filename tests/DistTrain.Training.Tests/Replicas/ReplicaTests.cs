using System.Buffers.Binary;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using DistTrain.Core.Layouts;
using DistTrain.Core.Reduction;
using DistTrain.Training.Replicas;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Replicas;

/// <summary>The update of a replica: all of it or nothing, what it leaves alone, and the hash that vouches for it.</summary>
[Collection(AloneInProcess.Name)]
public sealed class ReplicaTests
{
    [Theory]
    [InlineData(0.05)]
    [InlineData(1e6)]
    public void Clipping_is_that_of_torch(double limit)
    {
        using var bench = new Bench(Bench.Pattern(), $"clip.globalNorm={limit}", "optimizer.momentum=0");
        var before = bench.Replica.Layout.Slots.ToDictionary(s => s.Name, s => bench.Weights(s.Name));
        var reduced = bench.Reduce(bench.Operation());

        using var scope = NewDisposeScope();
        var parameters = bench.Replica.Layout.Slots.Select(slot => new Parameter(tensor(before[slot.Name]))
        {
            grad = tensor(reduced.ToHost().Span(slot.Offset, (int)slot.Count).ToArray()) / reduced.Header.Weight,
        }).ToList();
        var norm = nn.utils.clip_grad_norm_(parameters, limit);
        var applied = bench.Apply(reduced, rate: 1);

        Assert.Equal(norm, applied.GradientNorm, norm * 1e-5);
        Assert.True(norm is > 0.1 and < 100, "One limit is below the norm, the other above.");
        foreach (var (slot, parameter) in bench.Replica.Layout.Slots.Zip(parameters))
        {
            using var expected = parameter - parameter.grad!;
            using var actual = tensor(bench.Weights(slot.Name));
            Assert.True(actual.allclose(expected, rtol: 1e-5, atol: 1e-7), slot.Name);
        }
    }

    [Theory]
    [InlineData(float.NaN, 50)]
    [InlineData(float.PositiveInfinity, 50)]
    [InlineData(float.NegativeInfinity, 50)]
    [InlineData(1f, 0)]
    public void A_step_that_cannot_be_applied_leaves_everything_as_it_was(float value, long weight)
    {
        using var bench = new Bench(Bench.Pattern(), "optimizer.weightDecay=0.01");
        bench.Step(1);
        var (state, hash, count) = (bench.StateBits(), bench.Replica.WeightsHash, bench.Replica.Layout.Count);

        foreach (var at in new[] { 0, 1, 7, 8, count / 2, count - 1 })
        {
            var reduced = bench.Nodes.Rent();
            reduced.ToHost().Span(0, (int)count).Fill(0.1f);
            reduced.ToHost().Span(at, 1)[0] = value;
            Assert.True(ApplyWith(reduced, weight).Skipped);
            Assert.Equal(state, bench.StateBits());
            Assert.Equal(hash, bench.Replica.WeightsHash);
        }

        Assert.False(bench.Step(2).Skipped);
        Assert.NotEqual(hash, bench.Replica.WeightsHash);

        AppliedStep ApplyWith(NodeBuffer reduced, long total)
        {
            var tiles = bench.Replica.Layout.Tiles;
            var squares = Enumerable.Range(0, tiles.Count)
                .Select(t => Core.Numerics.VectorKernels.SumOfSquares(reduced.ToHost().Span(tiles.Start(t), tiles.Length(t)))).ToArray();
            return bench.Replica.Apply(reduced.ToHost(), new NodeHeader(1, total, []), squares, 0.1, bench.Options.Batch.Global);
        }
    }

    [Fact]
    public void Frozen_parameters_are_untouched_also_by_decay()
    {
        using var bench = new Bench(
            new ChangedTask(Bench.Pattern(), () =>
            {
                var model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 5));
                model.parameters().First().requires_grad = false;
                return model;
            }),
            "optimizer.weightDecay=0.1");
        var before = bench.Replica.Layout.Slots.ToDictionary(s => s.Name, s => bench.Weights(s.Name));
        var gradient = bench.Block(bench.Operation(), 0).Gradient;
        for (var step = 1; step <= 5; step++)
        {
            Assert.False(bench.Step(step).Skipped);
        }

        var frozen = bench.Replica.Layout.Slots.Single(s => s.Kind == SlotKind.Frozen);
        Assert.Equal("0.weight", frozen.Name);
        Assert.All(gradient.AsSpan((int)frozen.Offset, (int)frozen.Count).ToArray(), g => Assert.Equal(0, g));
        Assert.All(bench.Replica.Layout.Slots, s => Assert.Equal(s == frozen, before[s.Name].SequenceEqual(bench.Weights(s.Name))));
    }

    [Fact]
    public void Tied_parameters_share_a_slot_and_both_uses_train_it()
    {
        var shared = new TiedModel();
        using var bench = new Bench(new ChangedTask(Bench.Pattern(), () => shared), "optimizer.momentum=0", "batch.global=4");

        Assert.Equal(["first.weight", "input.bias", "input.weight", "output.bias", "output.weight"], bench.Replica.Layout.Slots.Select(s => s.Name));
        using var scope = NewDisposeScope();
        var gradient = bench.Block(bench.Operation(), 0).Gradient;
        var slot = bench.Replica.Layout.Slots[0];
        var expected = shared.GradientOfBothUses(bench);
        using var actual = tensor(gradient.AsSpan(0, (int)slot.Count).ToArray());
        Assert.True(actual.view(slot.Shape.ToArray()).allclose(expected, rtol: 1e-4, atol: 1e-6));

        bench.Step(1);
        Assert.True(shared.First.weight!.equal(shared.Second.weight!).all().ToBoolean());
        Assert.Equal(bench.Weights("first.weight"), shared.Second.weight!.data<float>().ToArray());
    }

    [Fact]
    public void A_parameter_without_use_has_the_gradient_zero()
    {
        using var bench = new Bench(new ChangedTask(Bench.Pattern(), () => new IdleModel()), "optimizer.momentum=0");
        var idle = bench.Replica.Layout.Slots.Single(s => s.Name.StartsWith("idle", StringComparison.Ordinal));
        var before = bench.Weights(idle.Name);

        // The node held NaN before.
        var gradient = bench.Block(bench.Operation(), 0).Gradient.AsSpan((int)idle.Offset, (int)idle.Count).ToArray();
        Assert.All(gradient, g => Assert.Equal(0, g));
        Assert.False(bench.Step(1).Skipped);
        Assert.Equal(before, bench.Weights(idle.Name));
    }

    [Fact]
    public void A_model_of_another_precision_is_refused_by_name()
    {
        using var task = new ChangedTask(Bench.Pattern(), () => nn.Linear(12, 5).to(ScalarType.Float64));

        var refused = Assert.Throws<NotSupportedException>(() => new Bench(task).Dispose());

        Assert.Equal("Parameter bias is Float64: parameters are kept in Float32, build the model so.", refused.Message);
    }

    [Fact]
    public void The_hash_sees_every_bit()
    {
        using var bench = new Bench(Bench.Pattern());
        var (weights, original) = (bench.Replica.State[0].Vector, bench.Replica.WeightsHash);
        var random = new Random(1);
        var places = Enumerable.Range(0, 32).Select(bit => (At: 0, Bit: bit))
            .Concat(Enumerable.Range(0, 200).Select(_ => (random.Next((int)weights.Count), random.Next(32))))
            .Append(((int)weights.Count - 1, 0)).ToList();
        var hashes = new HashSet<string> { original };
        foreach (var (at, bit) in places)
        {
            Flip(at, bit);
            hashes.Add(bench.Replica.WeightsHash);
            Flip(at, bit);
            Assert.Equal(original, bench.Replica.WeightsHash);
        }

        Assert.Equal(1 + places.Distinct().Count(), hashes.Count);

        void Flip(int at, int bit)
        {
            MemoryMarshal.Cast<float, uint>(weights.Span(at, 1))[0] ^= 1u << bit;
            bench.Replica.StateWasReplaced();
        }
    }

    [Fact]
    public void The_hash_taken_while_updating_is_that_of_the_whole()
    {
        // A hidden layer of 4,800 weights, so that a slot has more than one tile.
        using var bench = new Bench(new ChangedTask(Bench.Pattern(), () => nn.Sequential(nn.Linear(12, 400), nn.ReLU(), nn.Linear(400, 5))));
        Assert.True(bench.Replica.Layout.Tiles.Count > bench.Replica.Layout.Slots.Count);
        for (var step = 1; step <= 3; step++)
        {
            bench.Step(step);
            var updated = bench.Replica.WeightsHash;
            Assert.Equal(HashOfWhole(bench.Replica), updated);
            bench.Replica.StateWasReplaced();
            Assert.Equal(updated, bench.Replica.WeightsHash);
        }
    }

    [Fact]
    public void The_average_takes_the_place_of_the_weights_once_for_all_blocks_of_an_evaluation()
    {
        using var bench = new Bench(Bench.Pattern(), "batch.global=8", "batch.micro=4", "average.decay=0.5");
        bench.Step(1);
        var (weights, average, loss) = (Weights(), Average(), bench.Evaluate());
        Assert.NotEqual(weights, average);
        using (bench.Replica.UseAverage())
        {
            for (var block = 0; block < 2; block++)
            {
                Assert.Equal((average, weights), (Weights(), Average()));
                Assert.Equal(loss.LossSum, bench.Evaluate().LossSum);
            }
        }

        Assert.Equal((weights, average), (Weights(), Average()));
        Assert.Equal(loss.LossSum, bench.Evaluate().LossSum);
        Assert.Equal((weights, average), (Weights(), Average()));

        string Weights() => Text("model");

        string Average() => Text("average");

        string Text(string name) => string.Join(' ', bench.Replica.State.Single(s => s.Name == name).Vector.Span(0, 40).ToArray());
    }

    /// <summary>The worker that computes a micro-batch would change its own weights alone. The rows of the probe are too short for max_norm to change a bit of them.</summary>
    [Theory]
    [InlineData(0.01)]
    [InlineData(100)]
    public void A_model_whose_forward_pass_changes_weights_is_refused_by_the_probe(double maxNorm)
    {
        using var task = new ChangedTask(Bench.Pattern(), () => nn.Sequential(
            ("table", nn.Embedding(2, 7, max_norm: maxNorm)), ("flat", nn.Flatten()), ("out", nn.Linear(12 * 7, 5))), x => x.gt(0).to(ScalarType.Int64));
        using var bench = new Bench(task, "batch.global=8", "batch.micro=4");
        var before = bench.StateBits();
        var thrown = Assert.Throws<NotSupportedException>(() => bench.Replica.Probe());
        Assert.StartsWith("Parameter table.weight is changed by the loss", thrown.Message, StringComparison.Ordinal);
        Assert.Contains("max_norm", thrown.Message, StringComparison.Ordinal);
        Assert.Equal(before, bench.StateBits());
    }

    [Fact]
    public void A_probe_leaves_the_state_and_does_not_depend_on_it()
    {
        using var trained = new Bench(Bench.Pattern());
        using var fresh = new Bench(Bench.Pattern());
        trained.Step(1);
        trained.Step(2);
        var (state, hash) = (trained.StateBits(), trained.Replica.WeightsHash);

        var probe = trained.Replica.Probe()!;

        Assert.Equal(32, probe.Length);
        Assert.Equal(probe, fresh.Replica.Probe());
        Assert.Equal(probe, trained.Replica.Probe());
        Assert.Equal(state, trained.StateBits());
        trained.Replica.StateWasReplaced();
        Assert.Equal(hash, trained.Replica.WeightsHash);
        fresh.Step(1);
        fresh.Step(2);
        Assert.Equal(hash, fresh.Replica.WeightsHash);
    }

    /// <summary>The definition, from the outside: XXH128 over the XXH3 of every tile.</summary>
    private static string HashOfWhole(Replica replica)
    {
        var tiles = replica.Layout.Tiles;
        var hash = new XxHash128();
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        for (var tile = 0; tile < tiles.Count; tile++)
        {
            var bytes = MemoryMarshal.AsBytes(replica.State[0].Vector.Span(tiles.Start(tile), tiles.Length(tile)));
            BinaryPrimitives.WriteUInt64LittleEndian(word, XxHash3.HashToUInt64(bytes));
            hash.Append(word);
        }

        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }

    private sealed class TiedModel : nn.Module<Tensor, Tensor>
    {
        private readonly Linear _input = nn.Linear(12, 8);
        private readonly Linear _output = nn.Linear(8, 5);

        public TiedModel()
            : base(nameof(TiedModel))
        {
            First = nn.Linear(8, 8, hasBias: false);
            Second = nn.Linear(8, 8, hasBias: false);
            Second.weight = First.weight;
            register_module("input", _input);
            register_module("first", First);
            register_module("second", Second);
            register_module("output", _output);
        }

        public Linear First { get; }

        public Linear Second { get; }

        public override Tensor forward(Tensor input) => _output.call(Second.call(First.call(_input.call(input)).tanh()));

        /// <summary>By autograd, on copies that are not tied.</summary>
        public Tensor GradientOfBothUses(Bench bench)
        {
            using var task = Bench.Pattern();
            var samples = new Core.Sampling.KeyedPermutation(Core.Numerics.Hash64.EpochKey(bench.Options.Seed, 0), task.Training.Count);
            using var batch = task.Training.Load([samples[0], samples[1], samples[2], samples[3]]);
            var (first, second) = (First.weight!.detach().clone().requires_grad_(), Second.weight!.detach().clone().requires_grad_());
            var hidden = nn.functional.linear(batch.Inputs, _input.weight!.detach(), _input.bias!.detach());
            hidden = nn.functional.linear(nn.functional.linear(hidden, first).tanh(), second);
            var scores = nn.functional.linear(hidden, _output.weight!.detach(), _output.bias!.detach());
            nn.functional.cross_entropy(scores, batch.Targets, reduction: nn.Reduction.Sum).backward();
            return first.grad! + second.grad!;
        }
    }

    private sealed class IdleModel : nn.Module<Tensor, Tensor>
    {
        private readonly Linear _used = nn.Linear(12, 5);
        private readonly Linear _idle = nn.Linear(7, 7, hasBias: false);

        public IdleModel()
            : base(nameof(IdleModel))
        {
            register_module("used", _used);
            register_module("idle", _idle);
        }

        public override Tensor forward(Tensor input) => _used.call(input);
    }
}
