namespace DistTrain.Training.Data;

/// <summary>How the bytes of an image become inputs: (byte - mean) / deviation.</summary>
/// <param name="Mean">The mean pixel of the training images, 0..255.</param>
/// <param name="Deviation">The standard deviation of the training images' pixels, above 0.</param>
public readonly record struct PixelScale(double Mean, double Deviation)
{
    /// <summary>
    /// Measures images. Counts are whole numbers, so the result does not depend on any order of addition.
    /// </summary>
    /// <param name="pixels">At least one pixel.</param>
    /// <returns>Mean and deviation; deviation 1 where all pixels are equal.</returns>
    public static PixelScale Of(ReadOnlySpan<byte> pixels)
    {
        Span<long> counts = stackalloc long[256];
        foreach (var pixel in pixels)
        {
            counts[pixel]++;
        }

        long sum = 0;
        long squares = 0;
        for (var value = 0; value < counts.Length; value++)
        {
            sum += value * counts[value];
            squares += value * value * counts[value];
        }

        var mean = (double)sum / pixels.Length;
        var variance = (double)squares / pixels.Length - mean * mean;
        return new PixelScale(mean, variance > 0 ? Math.Sqrt(variance) : 1);
    }
}
