using DistTrain.Core.BatchScience;
using DistTrain.Training.Data;

namespace DistTrain.Sweeping;

/// <summary>The folder of a sweep, and the right to work in it, which ends with the process.</summary>
internal sealed class SweepFolder : IDisposable
{
    /// <summary>The folder in it that holds the runs' folders.</summary>
    public const string Cells = "cells";

    private const string LockName = "sweep.lock";
    private readonly FileStream _lock;

    private SweepFolder(FileStream file) => _lock = file;

    /// <summary>Why a folder cannot be a sweep's: it is to be a new one, an empty one, or that of a sweep. Null where it can be.</summary>
    public static string? Mistake(string folder)
    {
        if (string.IsNullOrWhiteSpace(folder))
        {
            return "--out is empty: name a folder.";
        }

        if (File.Exists(folder))
        {
            return $"--out '{folder}' is a file: name a new folder, or that of a sweep.";
        }

        return Directory.Exists(folder) && !Directory.Exists(Path.Combine(folder, Cells)) && Directory.EnumerateFileSystemEntries(folder).Any()
            ? $"--out '{folder}' holds something else than a sweep: name a new folder, or that of a sweep."
            : null;
    }

    /// <summary>The runs that have a folder in a sweep's, whatever became of them; by name.</summary>
    public static IReadOnlyList<SweepCell> CellsIn(string folder) =>
        [.. Directory.EnumerateDirectories(Path.Combine(folder, Cells)).Select(Path.GetFileName).Order(StringComparer.Ordinal).Select(name => SweepCell.Named(name!)).OfType<SweepCell>()];

    /// <summary>Takes a folder.</summary>
    /// <exception cref="SweepException">It cannot be taken.</exception>
    public static SweepFolder Take(string folder)
    {
        if (Mistake(folder) is { } mistake)
        {
            throw new SweepException(mistake, isUsage: true);
        }

        try
        {
            Directory.CreateDirectory(Path.Combine(folder, Cells));
            return FileLock.TryTake(Path.Combine(folder, LockName), isShared: false) is { } taken
                ? new SweepFolder(taken)
                : throw new SweepException($"Another sweep works in {folder}: wait for it, end it, or name another --out.");
        }
        catch (Exception refused) when (UnwrittenFile.IsRefusal(refused))
        {
            throw UnwrittenFile.Told($"The sweep's folder {folder} cannot be written: {refused.Message}");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _lock.Dispose();
}
