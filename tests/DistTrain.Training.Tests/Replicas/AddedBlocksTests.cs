using DistTrain.Core.Batches;
using DistTrain.Core.Runs;
using DistTrain.TestKit;
using DistTrain.Training.Replicas;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Replicas;

/// <summary>Blocks that are accumulated on top of the sum they are added to.</summary>
[Collection(AloneInProcess.Name)]
public sealed class AddedBlocksTests
{
    /// <summary>With dropout, running statistics, a count that micro-batch 0 alone moves, and blocks of unequal size.</summary>
    [Fact]
    public void A_block_added_on_top_has_the_bits_of_one_that_is_summed_by_itself_and_added()
    {
        using var task = new ChangedTask(Bench.Pattern(), () => nn.Sequential(
            ("0", nn.BatchNorm1d(12)), ("1", nn.Linear(12, 24)), ("2", nn.ReLU()), ("3", nn.Dropout(0.5)), ("4", nn.Linear(24, 5))));
        using var bench = new Bench(task, "batch.global=22", "batch.micro=8", "batch.blocks=8");
        var operation = bench.Operation();
        var sums = Enumerable.Range(0, 3).Select(_ => bench.Nodes.Rent()).ToList();
        for (var block = 0; block < 3; block++)
        {
            bench.Replica.Accumulate(operation, block, sums[block], () => { });
        }

        sums[0].Add(sums[1]);
        sums[0].Add(sums[2]);

        var onTop = bench.Nodes.Rent();
        for (var block = 0; block < 3; block++)
        {
            Assert.True(bench.Replica.CanAddOnTop(operation, block));
            bench.Replica.Accumulate(operation, block, onTop, () => { }, onTop: block > 0);
        }

        Assert.Equal(Bits(bench, sums[0]), Bits(bench, onTop));
        Assert.Equal((sums[0].Header.LossSum, sums[0].Header.Weight), (onTop.Header.LossSum, onTop.Header.Weight));
        Assert.Equal(22, onTop.Header.Weight);
    }

    [Fact]
    public void So_are_parts_of_it_while_the_pass_runs()
    {
        using var task = new LayersTask(40, () => { });
        using var bench = new Bench(task, "batch.global=8", "batch.micro=4");
        var operation = bench.Operation();
        var expected = bench.Reduce(operation);
        var onTop = bench.Nodes.Rent();
        bench.Replica.Accumulate(operation, 0, onTop, () => { });
        bench.Replica.Accumulate(operation, 1, onTop, () => { }, _ => { }, onTop: true);
        Assert.Equal(Bits(bench, expected), Bits(bench, onTop));
    }

    [Theory]
    [InlineData("batch.noiseScale=true")]
    [InlineData("batch.micro=2", "batch.blocks=2")]
    public void A_block_whose_own_sum_is_wanted_or_that_takes_several_passes_is_not_added_on_top(params string[] settings)
    {
        using var plain = new Bench(Bench.Pattern(), "batch.global=8", "batch.micro=4");
        using var bench = new Bench(Bench.Pattern(), ["batch.global=8", "batch.micro=4", .. settings]);
        Assert.True(plain.Replica.CanAddOnTop(plain.Operation(), 0));
        Assert.False(plain.Replica.CanAddOnTop(plain.Operation() with { Kind = OperationKind.Evaluate }, 0));
        Assert.False(bench.Replica.CanAddOnTop(bench.Operation(), 0));
    }

    /// <summary>Two parameters of one slot have a gradient each, which are added one after the other: the order would be another one.</summary>
    [Fact]
    public void What_has_tied_parameters_is_not_added_on_top_where_they_have_gradients_each()
    {
        using var task = new ChangedTask(Bench.Pattern(), () =>
        {
            var (first, second) = (nn.Linear(12, 12), nn.Linear(12, 12));
            using var noGradient = no_grad();
            second.weight!.set_(first.weight!);
            return nn.Sequential(("0", first), ("1", second), ("2", nn.Linear(12, 5)));
        });
        using var bench = new Bench(task, "batch.global=8", "batch.micro=4");
        Assert.False(bench.Replica.CanAddOnTop(bench.Operation(), 0));
    }

    /// <summary>torch adds the entries of a sparse gradient one by one: two of one row meet what is there before each other.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_has_a_sparse_gradient_is_not_added_on_top_whether_another_is_added_to_it_or_not(bool isTied)
    {
        using var task = Embedding(() => (Table: true, Tied: isTied));
        using var bench = new Bench(task, "batch.global=8", "batch.micro=4");
        Assert.NotNull(bench.Replica.Probe());
        Assert.False(bench.Replica.CanAddOnTop(bench.Operation(), 1));
        Assert.False(bench.Replica.Size.AddsOnTop);
    }

    [Fact]
    public void What_has_no_gradient_in_the_probe_may_have_a_sparse_one_later_and_is_not_added_on_top()
    {
        using var task = Embedding(() => (Table: false, Tied: false));
        using var bench = new Bench(task, "batch.global=8", "batch.micro=4");
        Assert.NotNull(bench.Replica.Probe());
        Assert.False(bench.Replica.CanAddOnTop(bench.Operation(), 1));
    }

    [Fact]
    public void What_was_sparse_in_a_probe_stays_so_whatever_the_next_one_sees()
    {
        var isUsed = true;
        using var task = Embedding(() => (Table: isUsed, Tied: true));
        using var bench = new Bench(task, "batch.global=8", "batch.micro=4");
        bench.Replica.Probe();
        isUsed = false;
        bench.Replica.Probe();
        Assert.False(bench.Replica.CanAddOnTop(bench.Operation(), 1));
    }

    /// <summary>It would have other bits than its own sum has, and they would follow the plan.</summary>
    [Fact]
    public void A_gradient_that_is_dense_in_the_probe_and_sparse_on_top_is_an_error_that_names_it()
    {
        var isUsed = false;
        using var task = Embedding(() => (Table: isUsed, Tied: true));
        using var bench = new Bench(task, "batch.global=8", "batch.micro=4");
        bench.Replica.Probe();
        var (operation, node) = (bench.Operation(step: 3), bench.Nodes.Rent());
        bench.Replica.Accumulate(operation, 0, node, () => { });
        bench.Replica.Accumulate(operation, 1, node, () => { }, onTop: true);

        isUsed = true;
        bench.Replica.Accumulate(operation, 0, node, () => { });
        Assert.True(bench.Replica.CanAddOnTop(operation, 1));
        var mixed = Assert.Throws<NotSupportedException>(() => bench.Replica.Accumulate(operation, 1, node, () => { }, onTop: true));
        Assert.StartsWith("A sparse tensor is part of a gradient in micro-batch 1 of step 3", mixed.Message, StringComparison.Ordinal);

        // Nothing is refused any more.
        bench.Replica.Accumulate(operation, 0, node, () => { });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void So_is_one_whose_dense_part_is_not_used_any_more(bool isWatched)
    {
        var isUsed = false;
        using var task = Embedding(() => (Table: isUsed, Tied: !isUsed));
        using var bench = new Bench(task, "batch.global=8", "batch.micro=4");
        bench.Replica.Probe();
        var (operation, node) = (bench.Operation(step: 3), bench.Nodes.Rent());
        isUsed = true;
        bench.Replica.Accumulate(operation, 0, node, () => { });
        var thrown = Assert.Throws<NotSupportedException>(
            () => bench.Replica.Accumulate(operation, 1, node, () => { }, isWatched ? _ => { } : null, onTop: true));
        Assert.StartsWith("The gradient of table.weight is sparse in micro-batch 1 of step 3", thrown.Message, StringComparison.Ordinal);
        Assert.Contains("sparse: false", thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_probe_leaves_what_has_dense_gradients_to_be_added_on_top()
    {
        using var bench = new Bench(Bench.Pattern(), "batch.global=8", "batch.micro=4");
        Assert.NotNull(bench.Replica.Probe());
        Assert.True(bench.Replica.CanAddOnTop(bench.Operation(), 1));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_gradient_that_is_added_to_twice_is_an_error_that_says_so(bool isWatched)
    {
        NodeBuffer? node = null;
        using var task = new LayersTask(40, () => node?.Gradients[3].mul_(2));
        using var bench = new Bench(task, "batch.global=8", "batch.micro=4");
        var operation = bench.Operation();
        var sum = bench.Nodes.Rent();
        bench.Replica.Accumulate(operation, 0, sum, () => { });
        node = sum;
        var thrown = Assert.Throws<InvalidOperationException>(() => bench.Replica.Accumulate(operation, 1, sum, () => { }, isWatched ? _ => { } : null, onTop: true));
        Assert.StartsWith("The gradient of second.weight was changed after the backward pass had added to it", thrown.Message);
    }

    private static uint[] Bits(Bench bench, NodeBuffer node) =>
        [.. node.ToHost().Span(0, (int)bench.Replica.Layout.Count).ToArray().Select(BitConverter.SingleToUInt32Bits)];

    private static ChangedTask Embedding(Func<(bool Table, bool Tied)> uses) => new(Bench.Pattern(), () => new Embedded(uses));

    /// <summary>Bits of an input look up rows of a small table, each of them many times in a micro-batch; its weight may have a dense use, too.</summary>
    private sealed class Embedded : nn.Module<Tensor, Tensor>
    {
        private readonly Func<(bool Table, bool Tied)> _uses;
        private readonly Embedding _table = nn.Embedding(2, 7, sparse: true);
        private readonly Linear _out = nn.Linear(12 * 7, 5);

        public Embedded(Func<(bool Table, bool Tied)> uses)
            : base(nameof(Embedded))
        {
            _uses = uses;
            register_module("table", _table);
            register_module("out", _out);
        }

        public override Tensor forward(Tensor input)
        {
            using var scope = NewDisposeScope();
            var (table, tied) = _uses();
            var looked = table ? _table.call(input.gt(0).to(ScalarType.Int64)).flatten(1) : zeros(input.shape[0], 12 * 7);
            var scores = _out.call(looked);
            return (tied ? scores + _table.weight!.sum() : scores).MoveToOuterDisposeScope();
        }
    }
}
