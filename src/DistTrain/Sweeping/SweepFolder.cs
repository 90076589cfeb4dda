namespace DistTrain.Sweeping;

/// <summary>The folder of a sweep, and the right to work in it, which ends with the process.</summary>
internal sealed class SweepFolder : IDisposable
{
    /// <summary>The folder in it that holds the runs' folders.</summary>
    public const string Cells = "cells";

    private const string LockName = "sweep.lock";
    private readonly FileStream _lock;

    private SweepFolder(FileStream file) => _lock = file;

    /// <summary>Takes a folder: a new one, an empty one, or that of a sweep.</summary>
    /// <exception cref="SweepException">It cannot be taken.</exception>
    public static SweepFolder Take(string folder)
    {
        if (string.IsNullOrWhiteSpace(folder))
        {
            throw new SweepException("--out is empty: name a folder.", isUsage: true);
        }

        if (File.Exists(folder))
        {
            throw new SweepException($"--out '{folder}' is a file: name a new folder, or that of a sweep.", isUsage: true);
        }

        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any() && !Directory.Exists(Path.Combine(folder, Cells)))
        {
            throw new SweepException($"--out '{folder}' holds something else than a sweep: name a new folder, or that of a sweep.", isUsage: true);
        }

        try
        {
            Directory.CreateDirectory(Path.Combine(folder, Cells));
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            throw new SweepException($"The sweep's folder {folder} cannot be made: {refused.Message}");
        }

        try
        {
            return new SweepFolder(new FileStream(Path.Combine(folder, LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (IOException)
        {
            throw new SweepException($"Another sweep works in {folder}: wait for it, end it, or name another --out.");
        }
        catch (UnauthorizedAccessException refused)
        {
            throw new SweepException($"The sweep's folder {folder} cannot be written: {refused.Message}");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _lock.Dispose();
}
