using DistTrain.Core.Layouts;

namespace DistTrain.Core.Tests.Layouts;

public class ParameterLayoutTests
{
    private static readonly (string Name, IReadOnlyList<long> Shape, SlotKind Kind)[] Model =
    [
        ("norm.running_mean", [8], SlotKind.Buffer),
        ("fc.weight", [10, 8], SlotKind.Parameter),
        ("fc.bias", [10], SlotKind.Parameter),
        ("embedding", [3, 8], SlotKind.Frozen),
        ("Scale", [], SlotKind.Parameter),
    ];

    [Fact]
    public void Slots_follow_each_other_in_ordinal_order_with_buffers_last()
    {
        var layout = new ParameterLayout(Model);
        Assert.Equal(
            ["Scale", "embedding", "fc.bias", "fc.weight", "norm.running_mean"],
            layout.Slots.Select(s => s.Name));
        Assert.Equal([0L, 1, 25, 35, 115], layout.Slots.Select(s => s.Offset));
        Assert.Equal([1L, 24, 10, 80, 8], layout.Slots.Select(s => s.Count));
        Assert.Equal(123, layout.Count);
    }

    [Fact]
    public void The_order_in_which_a_model_names_its_tensors_does_not_matter() =>
        Assert.Equal(new ParameterLayout(Model).Fingerprint, new ParameterLayout(Model.Reverse()).Fingerprint);

    [Fact]
    public void Elements_are_a_partition_of_the_flat_vector() =>
        Layouts.Any.Always(layout =>
        {
            var end = 0L;
            foreach (var slot in layout.Slots)
            {
                Assert.Equal(end, slot.Offset);
                end += slot.Count;
            }

            Assert.Equal(end, layout.Count);
            Assert.Equal(end, layout.Tiles.Elements);
        });

    [Fact]
    public void The_fingerprint_changes_with_anything()
    {
        (string, IReadOnlyList<long>, SlotKind)[] changes =
        [
            ("fc.weights", [10, 8], SlotKind.Parameter),
            ("fc.weight", [8, 10], SlotKind.Parameter),
            ("fc.weight", [80], SlotKind.Parameter),
            ("fc.weight", [10, 8, 1], SlotKind.Parameter),
            ("fc.weight", [10, 9], SlotKind.Parameter),
            ("fc.weight", [10, 8], SlotKind.Frozen),
            ("fc.weight", [10, 8], SlotKind.Buffer),
        ];
        var fingerprints = changes.Select(c => new ParameterLayout([Model[0], c, .. Model[2..]]).Fingerprint)
            .Append(new ParameterLayout(Model).Fingerprint)
            .Append(new ParameterLayout(Model[1..]).Fingerprint)
            .Append(new ParameterLayout([]).Fingerprint)
            .ToList();
        Assert.Equal(fingerprints.Count, fingerprints.Distinct().Count());
        Assert.All(fingerprints, fingerprint => Assert.Matches("^[0-9a-f]{64}$", fingerprint));
    }

    [Fact]
    public void A_name_that_spells_the_bytes_of_a_shape_is_not_taken_for_one()
    {
        // Without a length ahead of the name, both would write "a" and three eight-byte numbers that continue alike.
        var one = new ParameterLayout([("a", [], SlotKind.Parameter), ("b", [], SlotKind.Parameter)]);
        var spelled = "a" + new string('\0', 24) + "b";
        Assert.NotEqual(one.Fingerprint, new ParameterLayout([(spelled, [], SlotKind.Parameter)]).Fingerprint);
    }

    [Fact]
    public void The_fingerprint_never_changes_for_one_layout() =>
        Assert.Equal(
            "c4f99e84064c14cf07b451606815d20e877d4cd267d277c54623b29c72cb532b",
            new ParameterLayout(Model).Fingerprint);

    [Fact]
    public void A_shape_that_its_owner_changes_later_does_not_reach_the_layout()
    {
        var shape = new long[] { 2, 3 };
        var layout = new ParameterLayout([("a", shape, SlotKind.Parameter)]);
        shape[0] = 7;
        Assert.Equal([2L, 3], layout.Slots[0].Shape);
    }

    [Fact]
    public void Impossible_tensors_are_refused_by_name()
    {
        var twice = Assert.Throws<ArgumentException>(() => new ParameterLayout([Model[1], Model[1]]));
        Assert.StartsWith("Two tensors have the name 'fc.weight'.", twice.Message, StringComparison.Ordinal);
        var negative = Assert.Throws<ArgumentException>(
            () => new ParameterLayout([("a", [2, -1], SlotKind.Parameter)]));
        Assert.StartsWith("Tensor 'a' has a negative dimension.", negative.Message, StringComparison.Ordinal);
        Assert.Throws<OverflowException>(() => new ParameterLayout([("a", [1L << 40, 1L << 40], SlotKind.Parameter)]));
    }
}
