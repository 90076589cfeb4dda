using DistTrain.Core.Numerics;

namespace DistTrain.Training.Data;

/// <summary>Random changes to an image that leave its class as it is.</summary>
/// <param name="Shift">Most pixels an image moves in each direction, 0 or more; what comes in from outside is black.</param>
/// <param name="Flip">Whether left and right are exchanged for every second image.</param>
/// <param name="Noise">Standard deviation of noise added to normalised pixels, 0 or more.</param>
public sealed record ImageAugmentation(int Shift, bool Flip, double Noise)
{
    /// <summary>No change.</summary>
    public static ImageAugmentation None { get; } = new(0, false, 0);

    /// <summary>Writes one image, changed.</summary>
    /// <param name="key">The sample's key.</param>
    /// <param name="pixels">[height, width] bytes.</param>
    /// <param name="normalised">What each byte becomes, 256 numbers.</param>
    /// <param name="width">Columns.</param>
    /// <param name="target">[height, width].</param>
    internal void Apply(ulong key, ReadOnlySpan<byte> pixels, ReadOnlySpan<float> normalised, int width, Span<float> target)
    {
        // Every draw is made whether it is used or not: switching one change on must not alter the others.
        var random = new CounterRandom(key);
        var down = random.Next((2 * Shift) + 1) - Shift;
        var right = random.Next((2 * Shift) + 1) - Shift;
        var flipped = random.Next(2) == 1 && Flip;
        var height = pixels.Length / width;
        for (var y = 0; y < height; y++)
        {
            for (var x = 0; x < width; x++)
            {
                var (fromY, fromX) = (y - down, (flipped ? width - 1 - x : x) - right);
                var inside = fromY >= 0 && fromY < height && fromX >= 0 && fromX < width;
                target[(y * width) + x] = normalised[inside ? pixels[(fromY * width) + fromX] : (byte)0];
            }
        }

        if (Noise > 0)
        {
            var deviation = (float)Noise;
            foreach (ref var value in target)
            {
                value += random.NextNormal() * deviation;
            }
        }
    }
}
