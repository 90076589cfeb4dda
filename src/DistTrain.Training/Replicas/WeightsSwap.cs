using DistTrain.Training.Native;

namespace DistTrain.Training.Replicas;

/// <summary>Exchanges the contents of two vectors until disposed; the model reads the memory of the first.</summary>
internal sealed class WeightsSwap : IDisposable
{
    private readonly NativeVector _one;
    private readonly NativeVector _other;
    private readonly long _count;
    private readonly Action _exchanged;
    private readonly Action _over;

    /// <summary>Exchanges the first elements of two vectors.</summary>
    /// <param name="one">A vector.</param>
    /// <param name="other">Another.</param>
    /// <param name="count">How many elements.</param>
    /// <param name="exchanged">Called after each of the two exchanges.</param>
    /// <param name="over">Called after the second.</param>
    public WeightsSwap(NativeVector one, NativeVector other, long count, Action exchanged, Action over)
    {
        (_one, _other, _count, _exchanged, _over) = (one, other, count, exchanged, over);
        Exchange();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Exchange();
        _over();
    }

    private void Exchange()
    {
        const int piece = 4096;
        Span<float> kept = stackalloc float[piece];
        for (var at = 0L; at < _count; at += piece)
        {
            var length = (int)Math.Min(piece, _count - at);
            var a = _one.Span(at, length);
            var b = _other.Span(at, length);
            a.CopyTo(kept);
            b.CopyTo(a);
            kept[..length].CopyTo(b);
        }

        _exchanged();
    }
}
