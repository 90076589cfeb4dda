using System.Security.Cryptography;
using DistTrain.Core.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Data;

/// <summary>A data set in the cache, in the hands of one process until it is shared, and not evicted before it is disposed.</summary>
/// <remarks>
/// <c>content</c> holds the files, each there whole or not at all; <c>parts</c> what has arrived of others; <c>manifest</c> says what the files should be. None of it is
/// believed when the next process comes: every file is read and hashed before a task sees it.
/// </remarks>
public sealed class CacheEntry : IDisposable
{
    private const int PieceBytes = 1 << 20;
    private readonly DataCache _cache;
    private readonly string _key;
    private readonly FileStream _use;
    private readonly FileStream _turn;

    internal CacheEntry(DataCache cache, string key, string folder, FileStream use, FileStream turn)
    {
        (_cache, _key, Folder, _use, _turn) = (cache, key, folder, use, turn);
        Directory.CreateDirectory(Content);
        Directory.CreateDirectory(Parts);
    }

    /// <summary>All of it.</summary>
    internal string Folder { get; }

    /// <summary>The folder of the files.</summary>
    public string Content => Path.Combine(Folder, "content");

    /// <summary>The folder of what has arrived of other files.</summary>
    public string Parts => Path.Combine(Folder, "parts");

    private string ManifestPath => Path.Combine(Folder, "manifest");

    /// <summary>Where a file of the data lies.</summary>
    /// <param name="name">A name of a manifest.</param>
    public string At(string name) => Path.Combine(Content, name);

    /// <summary>Where the data lie, as <c>data.path</c> would say.</summary>
    public string Root(DataManifest manifest) => manifest.IsSingleFile ? At(manifest.Files[0].Name) : Content;

    /// <summary>Makes room.</summary>
    /// <exception cref="DataException">There is not so much.</exception>
    public Task ReserveAsync(long bytes, CancellationToken cancellation) => _cache.ReserveAsync(_key, bytes, cancellation);

    /// <summary>The list that was put down when the files were complete; null where there is none.</summary>
    public DataManifest? ReadManifest() => File.Exists(ManifestPath) ? DataManifest.Parse(File.ReadAllText(ManifestPath)) : null;

    /// <summary>Puts the list down: the files are complete.</summary>
    public void Complete(DataManifest manifest)
    {
        File.WriteAllText(ManifestPath + ".new", manifest.Write());
        File.Move(ManifestPath + ".new", ManifestPath, overwrite: true);
        Directory.Delete(Parts, recursive: true);
    }

    /// <summary>Which files of a list are not there. What is damaged is removed, and so is what is not on the list.</summary>
    /// <returns>Their places in the list.</returns>
    public async Task<IReadOnlyList<int>> FindMissingAsync(DataManifest manifest, CancellationToken cancellation)
    {
        var known = manifest.Files.Select(f => At(f.Name)).ToHashSet(StringComparer.Ordinal);
        foreach (var stranger in DataFolder.FilesBelow(Content).Where(f => !known.Contains(f)).ToList())
        {
            File.Delete(stranger);
        }

        var progress = new TransferProgress("Checking the data in the cache", manifest.Bytes, _cache.Host.Time, _cache.Host.Say);
        var missing = new List<int>();
        for (var i = 0; i < manifest.Files.Count; i++)
        {
            var file = manifest.Files[i];
            var path = At(file.Name);
            if (file.Bytes == 0)
            {
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                await File.WriteAllBytesAsync(path, [], cancellation);
            }
            else if (!File.Exists(path))
            {
                missing.Add(i);
            }
            else if (new FileInfo(path).Length != file.Bytes || await HashAsync(path, progress.Add, cancellation) != file.Sha256)
            {
                _cache.Host.Say($"{path} is damaged: it is fetched again.");
                File.Delete(path);
                missing.Add(i);
            }
        }

        progress.End();
        return missing;
    }

    /// <summary>SHA-256 of a file, read piece by piece.</summary>
    /// <param name="path">The file.</param>
    /// <param name="read">Told of every piece.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<string> HashAsync(string path, Action<long> read, CancellationToken cancellation)
    {
        await using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0, useAsync: true);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var piece = new byte[PieceBytes];
        for (int got; (got = await file.ReadAsync(piece, cancellation)) > 0;)
        {
            hash.AppendData(piece, 0, got);
            read(got);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Takes everything away.</summary>
    public void Clear()
    {
        File.Delete(ManifestPath);
        Directory.Delete(Content, recursive: true);
        Directory.CreateDirectory(Content);
    }

    /// <summary>Lets others in: everything is there.</summary>
    public void Share() => _turn.Dispose();

    /// <inheritdoc/>
    public void Dispose()
    {
        _turn.Dispose();
        _use.Dispose();
    }
}
