using CsCheck;
using DistTrain.Core.Layouts;

namespace DistTrain.Core.Tests.Layouts;

/// <summary>Layouts to test with.</summary>
internal static class Layouts
{
    /// <summary>Up to a dozen tensors: empty ones, scalars, tiny ones and some of several tiles.</summary>
    public static readonly Gen<ParameterLayout> Any =
        Gen.Frequency((1, Gen.Const(0)), (3, Gen.Int[1, 50]), (2, Gen.Int[4095, 4097]), (2, Gen.Int[1, 300_000]))
            .Array[0, 12]
            .Select(Of);

    /// <summary>One parameter of one dimension for each size.</summary>
    public static ParameterLayout Of(params int[] sizes) =>
        new(sizes.Select((size, i) => ($"p{i:D3}", (IReadOnlyList<long>)[size], SlotKind.Parameter)));
}
