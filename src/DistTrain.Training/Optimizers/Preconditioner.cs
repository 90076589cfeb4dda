using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Training.Optimizers;

/// <summary>A rule that multiplies the gradient, element by element, by a scale of its own: there, what counts as noise is other than in the gradient.</summary>
public interface IPreconditioner
{
    /// <summary>The scale of consecutive elements, 1 / (sqrt(v / (1 - b2^t)) + eps), as the state is. Before the first step, where v is 0, it is 1 / eps everywhere.</summary>
    /// <param name="offset">First element in the flat vector.</param>
    /// <param name="scale">Where it goes.</param>
    void WriteScale(long offset, Span<float> scale);
}

/// <summary>The scale of Adam and its kin.</summary>
internal static class Preconditioner
{
    /// <summary>See <see cref="IPreconditioner"/>.</summary>
    /// <param name="square">v.</param>
    /// <param name="power">b2^t.</param>
    /// <param name="epsilon">What keeps the scale finite.</param>
    /// <param name="scale">As long as <paramref name="square"/>.</param>
    public static void WriteScale(ReadOnlySpan<float> square, double power, float epsilon, Span<float> scale)
    {
        var root = power == 1 ? 1f : (float)Math.Sqrt(1 - power);
        ref var v = ref MemoryMarshal.GetReference(square);
        ref var s = ref MemoryMarshal.GetReference(scale);
        var i = 0;
        for (; i + Vector256<float>.Count <= square.Length; i += Vector256<float>.Count)
        {
            var divisor = (Vector256.Sqrt(Vector256.LoadUnsafe(ref v, (nuint)i)) / root) + Vector256.Create(epsilon);
            (Vector256<float>.One / divisor).StoreUnsafe(ref s, (nuint)i);
        }

        for (; i < square.Length; i++)
        {
            scale[i] = 1 / ((MathF.Sqrt(square[i]) / root) + epsilon);
        }
    }
}
