using DistTrain.Training.Tasks;

namespace DistTrain.Training.Data;

/// <summary>
/// A folder with the four files of MNIST and its relatives, each plain or gzipped under its name with or without
/// <c>.gz</c>.
/// </summary>
public static class IdxFolder
{
    /// <summary>The names of the files, without <c>.gz</c>.</summary>
    public static IReadOnlyList<string> Names { get; } =
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

    /// <summary>Whether all four files are there.</summary>
    public static bool IsComplete(string folder) => Names.All(name => Find(folder, name) is not null);

    /// <summary>The path of a file; null where it is there under neither name.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="name">One of <see cref="Names"/>.</param>
    public static string? Find(string folder, string name) =>
        new[] { name, name + ".gz" }.Select(n => Path.Combine(folder, n)).FirstOrDefault(File.Exists);

    /// <summary>
    /// Reads any data set of this form. Its classes are 0 to the largest training label; its pixels are scaled by the
    /// mean and the deviation of the training images.
    /// </summary>
    /// <exception cref="DataException">A file is missing, damaged or does not fit the others.</exception>
    public static ImageData Load(string folder)
    {
        var (training, validation) = ReadPairs(folder, classes: null);
        var classes = training.Labels.Bytes.Max() + 1;
        return Combine(training, validation, classes, PixelScale.Of(training.Images.Bytes));
    }

    /// <summary>Reads a data set whose form is known.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="side">Rows and columns of an image.</param>
    /// <param name="classes">How many classes there are.</param>
    /// <param name="scale">How bytes become inputs.</param>
    /// <exception cref="DataException">A file is missing, damaged or of another form.</exception>
    public static ImageData Load(string folder, int side, int classes, PixelScale scale)
    {
        var (training, validation) = ReadPairs(folder, classes);
        if (training.Images.Dimensions is not [_, var height, var width] || height != side || width != side)
        {
            throw new DataException(
                $"{training.Images.Path} holds images of {Size(training.Images)} pixels and {side} x {side} were expected: "
                + "put the right files there, or set data.name to idx.");
        }

        return Combine(training, validation, classes, scale);
    }

    /// <summary>The paths of the four files, in the order of <see cref="Names"/>.</summary>
    /// <exception cref="DataException">The folder is not there, or one of them is not.</exception>
    public static IReadOnlyList<string> Paths(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new DataException($"{folder} does not exist: put the four files {string.Join(", ", Names)} there, or change data.path.");
        }

        // All four are looked for before the first is read, which may take a second.
        return [.. Names.Select(name => Find(folder, name)
            ?? throw new DataException(
                $"{folder} holds no {name} (nor {name}.gz): put the four files {string.Join(", ", Names)} there, "
                + "or change data.path."))];
    }

    private static (Pair Training, Pair Validation) ReadPairs(string folder, int? classes)
    {
        var paths = Paths(folder);
        return (ReadPair(paths[0], paths[1], classes), ReadPair(paths[2], paths[3], classes));
    }

    private static Pair ReadPair(string imagesPath, string labelsPath, int? classes)
    {
        var labels = IdxFile.ReadLabels(labelsPath);
        if (classes is { } known)
        {
            CheckRange(labels, known);
        }

        var images = IdxFile.ReadImages(imagesPath);
        return images.Count == labels.Count
            ? new Pair(images, labels)
            : throw new DataException(
                $"{imagesPath} holds {images.Count} images and {labelsPath} holds {labels.Count} labels: "
                + "put two files there that belong together.");
    }

    private static ImageData Combine(Pair training, Pair validation, int classes, PixelScale scale)
    {
        CheckRange(validation.Labels, classes);
        if (!training.Images.Dimensions.Skip(1).SequenceEqual(validation.Images.Dimensions.Skip(1)))
        {
            throw new DataException(
                $"{validation.Images.Path} holds images of {Size(validation.Images)} pixels and {training.Images.Path} of "
                + $"{Size(training.Images)}: put files there that belong together.");
        }

        return new ImageData(ToDataset(training), ToDataset(validation));

        ImageDataset ToDataset(Pair pair) => new(
            pair.Images.Bytes, pair.Labels.Bytes, pair.Images.Dimensions[1], pair.Images.Dimensions[2], classes, scale);
    }

    private static void CheckRange(IdxContent labels, int classes)
    {
        var wrong = labels.Bytes.AsSpan().IndexOfAnyExceptInRange((byte)0, (byte)(classes - 1));
        if (wrong >= 0)
        {
            throw new DataException(
                $"{labels.Path} has the label {labels.Bytes[wrong]} at image {wrong} and labels are 0 to {classes - 1}: "
                + "it is damaged or belongs to other data; replace it.");
        }
    }

    private static string Size(IdxContent images) => $"{images.Dimensions[1]} x {images.Dimensions[2]}";

    private sealed record Pair(IdxContent Images, IdxContent Labels);
}
