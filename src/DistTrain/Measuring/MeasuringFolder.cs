using DistTrain.Training.Data;

namespace DistTrain.Measuring;

/// <summary>
/// A folder for what is measured, which goes with it. Whoever is killed leaves its own behind: the next one removes it. Its owner holds a file in it locked, which the system frees with the process,
/// however that ends.
/// </summary>
internal sealed class MeasuringFolder : IDisposable
{
    private const string Prefix = "disttrain-measure-";
    private const string Owner = "owner";

    private readonly FileStream _owner;

    private MeasuringFolder(string path, FileStream owner) => (Path, _owner) = (path, owner);

    /// <summary>Where it is.</summary>
    public string Path { get; }

    /// <summary>Creates one below the system's folder for temporary files, and removes those that nobody owns any more.</summary>
    /// <exception cref="IOException">It cannot be made.</exception>
    public static MeasuringFolder Create()
    {
        RemoveAbandoned(System.IO.Path.GetTempPath());
        var path = Directory.CreateTempSubdirectory(Prefix).FullName;
        return new MeasuringFolder(path, FileLock.TryTake(System.IO.Path.Combine(path, Owner), isShared: false) ?? throw new IOException($"{path} was taken away as soon as it was made."));
    }

    /// <summary>Removes those that nobody owns any more.</summary>
    /// <param name="parent">The folder they are in.</param>
    public static void RemoveAbandoned(string parent)
    {
        foreach (var folder in Directory.EnumerateDirectories(parent, $"{Prefix}*"))
        {
            try
            {
                // One without the file has only just been created.
                var owner = System.IO.Path.Combine(folder, Owner);
                if (File.Exists(owner) && FileLock.TryTake(owner, isShared: false) is { } abandoned)
                {
                    abandoned.Dispose();
                    Remove(folder);
                }
            }
            catch (Exception inUse) when (inUse is IOException or UnauthorizedAccessException)
            {
                // Somebody ends there, or it is somebody else's.
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _owner.Dispose();
        try
        {
            Remove(Path);
        }
        catch (DirectoryNotFoundException)
        {
            // The next one was faster.
        }
    }

    /// <summary>The owner's file goes last: processes that outlive their owner for a moment may keep the rest from going.</summary>
    private static void Remove(string folder)
    {
        foreach (var below in Directory.EnumerateDirectories(folder))
        {
            Directory.Delete(below, recursive: true);
        }

        Directory.Delete(folder, recursive: true);
    }
}
