using DistTrain.Training.Native;

namespace DistTrain.Training.Tests.Native;

/// <summary>Memory outside the managed heap.</summary>
[Collection(AloneInProcess.Name)]
public sealed unsafe class NativeVectorTests
{
    [Fact]
    public void A_vector_starts_as_zeros_on_a_cache_line()
    {
        for (var count = 0; count < 100; count++)
        {
            using var vector = new NativeVector(count);
            Assert.Equal(0, (long)vector.Data % 64);
            Assert.True(vector.Span(0, count).TrimStart(0f).IsEmpty);
            vector.Span(0, count).Fill(float.NaN);
        }
    }

    [Fact]
    public void A_large_vector_starts_as_zeros_and_gives_its_memory_back()
    {
        const int count = 16 << 20;
        long before = Environment.WorkingSet, held;
        using (var vector = new NativeVector(count))
        {
            held = Environment.WorkingSet;
            Assert.Equal(0, (long)vector.Data % 64);
            Assert.True(vector.Span(0, count).TrimStart(0f).IsEmpty);
            vector.Span(0, count).Fill(float.NaN);
        }

        // Half of its size: the runtime's own threads take and give some meanwhile.
        Assert.True(held - before > count * sizeof(float) / 2, $"{held - before} bytes were taken");
        Assert.True(held - Environment.WorkingSet > count * sizeof(float) / 2, $"{held - Environment.WorkingSet} bytes were given back");
    }

    [Fact]
    public void Nothing_can_be_pinned()
    {
        using var vector = NativeVector.Pinned(0);
        vector.Clear();

        Assert.Equal(0, vector.Count);
    }

    [Fact]
    public void A_span_outside_the_vector_is_refused()
    {
        using var vector = new NativeVector(10);

        Assert.Equal(10, vector.Span(0, 10).Length);
        Assert.Equal(0, vector.Span(10, 0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => vector.Span(0, 11).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => vector.Span(11, 0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => vector.Span(-1, 1).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => vector.Span(1, -1).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => new NativeVector(-1));
    }

    [Fact]
    public void A_copy_has_the_same_numbers_and_the_same_length()
    {
        using var vector = new NativeVector(5);
        using var copy = new NativeVector(5);
        using var longer = new NativeVector(6);
        vector.Span(0, 5).Fill(1.5f);
        copy.CopyFrom(vector);

        Assert.Equal([1.5f, 1.5f, 1.5f, 1.5f, 1.5f], copy.Span(0, 5).ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => longer.CopyFrom(vector));
    }

    [Fact]
    public void A_disposed_vector_says_so_and_may_be_disposed_again()
    {
        var vector = new NativeVector(5);
        vector.Dispose();
        vector.Dispose();

        Assert.Throws<ObjectDisposedException>(() => (nint)vector.Data);
        Assert.Throws<ObjectDisposedException>(() => vector.Span(0, 1).Length);
    }
}
