using DistTrain.Training.Native;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests;

/// <summary>Memory for another vector may be short at one time, and there at the next.</summary>
public sealed class ReducedVectorsTests
{
    private bool _isShort;

    [Fact]
    public async Task A_vector_that_could_not_be_made_is_made_when_it_is_wanted_again()
    {
        using var vectors = new ReducedVectors(Create);
        vectors.Of(1).AddReader();
        _isShort = true;
        await Assert.ThrowsAsync<InsufficientMemoryException>(() => vectors.TakeAsync(1, isFeeding: true));
        _isShort = false;
        var busy = vectors.Of(1);
        Assert.NotSame(busy, await vectors.TakeAsync(1, isFeeding: true));
    }

    [Fact]
    public async Task One_that_nobody_wants_any_more_need_not_have_been_made()
    {
        using var vectors = new ReducedVectors(Create);
        _isShort = true;
        vectors.Prepare();
        Assert.Same(vectors.Of(1), await vectors.TakeAsync(1, isFeeding: false));
    }

    private ReducedVector Create() => _isShort ? throw new InsufficientMemoryException("There is none.") : new ReducedVector(new NativeVector(8), new double[1]);
}
