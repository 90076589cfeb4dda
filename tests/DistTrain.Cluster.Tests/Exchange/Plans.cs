using DistTrain.Core.Planning;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>Reductions in which every rank computes one range.</summary>
internal static class Plans
{
    public static ReductionSpec Spec(int blocks, IReadOnlyList<BlockRange> ranges) => ReductionSpec.Canonical(blocks, [.. ranges.Select(WorkShare.Of)]);
}
