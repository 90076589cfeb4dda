using System.IO.Compression;

namespace DistTrain.Training.Data;

/// <summary>
/// 1,797 handwritten digits of 8 x 8 pixels with values 0..16, embedded in this library: real data that needs no
/// download.
/// </summary>
/// <remarks>
/// <para>
/// Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", 1998, UCI Machine Learning Repository,
/// CC BY 4.0, https://archive.ics.uci.edu/dataset/80. The file is the repository's test part, a line for each image: 64
/// pixels, then the digit.
/// </para>
/// <para>
/// The split is a fixed rule. Images ordered by digit, and within a digit by their line, are numbered from 0; every
/// fifth (0, 5, 10, ...) is for validation. This gives 1,437 training and 360 validation images in which each digit has
/// its share to within one image. (Every fifth line would not: the file repeats the digits in cycles of ten.) Both
/// parts hold images by the same writers, so the validation accuracy is that of new images, not of new writers.
/// </para>
/// </remarks>
public static class Digits
{
    private const int Side = 8;
    private const int Classes = 10;
    private const int ValidationEvery = 5;

    /// <summary>Mean and standard deviation of the training pixels, rounded.</summary>
    private static readonly PixelScale Scale = new(4.89, 6.02);

    /// <summary>Unpacks the data.</summary>
    public static ImageData Load()
    {
        var lines = ReadLines();
        var validation = lines
            .Index()
            .OrderBy(l => l.Item[^1])
            .ThenBy(l => l.Index)
            .Where((_, rank) => rank % ValidationEvery == 0)
            .Select(l => l.Index)
            .ToHashSet();
        return new ImageData(
            Select(lines.Where((_, index) => !validation.Contains(index))),
            Select(lines.Where((_, index) => validation.Contains(index))));
    }

    private static List<byte[]> ReadLines()
    {
        using var packed = typeof(Digits).Assembly.GetManifestResourceStream("digits.csv.gz")
            ?? throw new InvalidOperationException("digits.csv.gz is not embedded in this build.");
        using var reader = new StreamReader(new GZipStream(packed, CompressionMode.Decompress));
        var lines = new List<byte[]>();
        while (reader.ReadLine() is { } line)
        {
            lines.Add([.. line.Split(',').Select(byte.Parse)]);
        }

        return lines;
    }

    private static ImageDataset Select(IEnumerable<byte[]> lines)
    {
        var chosen = lines.ToList();
        return new ImageDataset(
            [.. chosen.SelectMany(l => l[..^1])], [.. chosen.Select(l => l[^1])], Side, Side, Classes, Scale);
    }
}
