using DistTrain.Training.Tasks;

namespace DistTrain.Training.Data;

/// <summary>70,000 images of clothes, 28 x 28 pixels, ten classes; 60,000 to train on and 10,000 to evaluate.</summary>
/// <remarks>
/// H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv 1708.07747; MIT licence;
/// https://github.com/zalandoresearch/fashion-mnist.
/// </remarks>
public sealed record FashionMnist
{
    private const int Side = 28;
    private static readonly string[] ClassNames =
        ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];

    /// <summary>Mean and standard deviation of the training pixels, rounded.</summary>
    private static readonly PixelScale Scale = new(72.94, 90.02);

    /// <summary>Folders to look in, in this order.</summary>
    public IReadOnlyList<string> Folders { get; init; } = ["/usr/share/datasets/fashion-mnist"];

    /// <summary>Where downloads are kept; null for nowhere, then nothing is downloaded.</summary>
    public string? Cache { get; init; } = CacheFolder.Find("fashion-mnist");

    /// <summary>What is downloaded into the cache.</summary>
    /// <remarks>
    /// The authors publish MD5 sums; the SHA-256 sums are those of the files with these MD5 sums (8d4fb7e6...,
    /// 25c81989..., bef4ecab..., bb300cfd...).
    /// </remarks>
    public IReadOnlyList<PinnedFile> Files { get; init; } =
    [
        new("train-images-idx3-ubyte.gz", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        new("train-labels-idx1-ubyte.gz", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        new("t10k-images-idx3-ubyte.gz", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        new("t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ];

    /// <summary>How files are downloaded.</summary>
    public PinnedDownload Download { get; init; } =
        new(new Uri("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"), TimeProvider.System) { Attempts = 2 };

    /// <summary>
    /// Reads the data from the user's folder; without one from the first place that has them, at last from the network.
    /// </summary>
    /// <param name="path">The only folder to look in; null or empty for the usual places.</param>
    /// <exception cref="DataException">The data are nowhere, or damaged.</exception>
    public ImageData Load(string? path)
    {
        var data = IdxFolder.Load(Find(path), Side, ClassNames.Length, Scale);
        return new ImageData(data.Training.With(ClassNames), data.Validation.With(ClassNames));
    }

    /// <summary>The folder with the data, which are downloaded where they are nowhere.</summary>
    /// <param name="path">The only folder to look in; null or empty for the usual places.</param>
    /// <exception cref="DataException">They are nowhere.</exception>
    public string Find(string? path) => string.IsNullOrEmpty(path) ? FindOrDownload() : path;

    private string FindOrDownload()
    {
        foreach (var folder in Cache is null ? Folders : [.. Folders, Cache])
        {
            if (IdxFolder.IsComplete(folder))
            {
                return folder;
            }
        }

        const string Remedy = "install the package dataset-fashion-mnist "
            + "(apt install dataset-fashion-mnist on Debian and Ubuntu), or set data.path to a folder with its four files";
        if (Cache is null)
        {
            throw new DataException(
                $"Fashion-MNIST is not in {string.Join(" nor ", Folders)}, and there is no home folder to download it to: "
                + $"{Remedy}.");
        }

        try
        {
            foreach (var file in Files.Where(f => IdxFolder.Find(Cache, Path.GetFileNameWithoutExtension(f.Name)) is null))
            {
                // A task's constructor is synchronous; without a synchronisation context nothing can deadlock here.
                Download.FetchAsync(file, Cache, CancellationToken.None).GetAwaiter().GetResult();
            }
        }
        catch (DownloadException e)
        {
            throw new DataException(
                $"Fashion-MNIST is not in {string.Join(" nor ", [.. Folders, Cache])}, and {e.Message}: {Remedy}.", e);
        }

        return Cache;
    }
}
