using DistTrain.Training.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Replicas;

[Collection(AloneInProcess.Name)]
public sealed class ModelRemarksTests
{
    [Theory]
    [InlineData(NormKind.Batch, 15, 45, 15)]
    [InlineData(NormKind.Batch, 32, 12, 12)]
    [InlineData(NormKind.Batch, 16, 17, 8)]
    [InlineData(NormKind.Batch, 1, 48, 1)]
    [InlineData(NormKind.Batch, 16, 48, 0)]
    [InlineData(NormKind.Group, 2, 48, 0)]
    public void BatchNorm_with_small_micro_batches_is_remarked_on(NormKind norm, int micro, int global, int remarked)
    {
        using var task = new ChangedTask(Bench.Pattern(), () => Model(norm));
        using var bench = new Bench(task, $"batch.micro={micro}", $"batch.global={global}");
        var remarks = bench.Replica.Remarks(bench.Options.Batch.Micro).ToList();

        Assert.Equal(remarked > 0 ? 1 : 0, remarks.Count);
        Assert.All(remarks, remark => Assert.Contains($"each micro-batch, here of {remarked} {(remarked == 1 ? "sample" : "samples")}, and not of the global batch", remark));
    }

    private static nn.Module<Tensor, Tensor> Model(NormKind norm) =>
        nn.Sequential(("images", nn.Unflatten(1, [1, 3, 4])), ("network", new ResNet(5, width: 4, norm: norm)));
}
