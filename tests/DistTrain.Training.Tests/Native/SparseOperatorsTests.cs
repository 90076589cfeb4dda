using System.Runtime.InteropServices;
using DistTrain.Training.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Native;

/// <summary>What a thread that refuses sparse tensors can compute.</summary>
public sealed class SparseOperatorsTests
{
    [Fact]
    public void A_backward_pass_fails_that_makes_a_sparse_gradient_until_they_are_refused_no_longer()
    {
        using var scope = NewDisposeScope();
        using var table = nn.Embedding(4, 3, sparse: true);
        var rows = tensor(new long[] { 1, 1, 2 });
        using (SparseOperators.Refuse())
        {
            Assert.Throws<ExternalException>(() => table.call(rows).sum().backward());
        }

        table.call(rows).sum().backward();
        Assert.True(table.weight!.grad!.is_sparse);
    }

    [Fact]
    public void So_does_the_addition_of_a_sparse_tensor_that_there_is()
    {
        using var scope = NewDisposeScope();
        var (dense, sparse) = (zeros(2, 2), eye(2).to_sparse());
        using (SparseOperators.Refuse())
        {
            Assert.Throws<ExternalException>(() => dense.add_(sparse));
        }

        Assert.Equal(2, dense.add_(sparse).sum().ToDouble());
    }

    [Fact]
    public void What_is_dense_is_computed_and_so_is_everything_on_other_threads()
    {
        using var scope = NewDisposeScope();
        using var table = nn.Embedding(4, 3);
        using var refusal = SparseOperators.Refuse();
        table.call(tensor(new long[] { 1, 1, 2 })).sum().backward();
        Assert.False(table.weight!.grad!.is_sparse);
        var other = new Thread(() => eye(2).to_sparse().Dispose());
        other.Start();
        Assert.True(other.Join(TimeSpan.FromSeconds(30)));
    }
}
