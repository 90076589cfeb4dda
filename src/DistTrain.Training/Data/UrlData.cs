using DistTrain.Core.Data;
using DistTrain.Core.Options;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Data;

/// <summary>Gets what lies at <c>data.url</c> into the cache, once for all processes of a host.</summary>
internal sealed class UrlData(DataLocation location, DataCache cache)
{
    private const string Download = "download";
    private readonly Uri _url = new(location.Url!);
    private readonly string _sha256 = location.Sha256!.ToLowerInvariant();

    /// <summary>How long all of it may take.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromHours(6);

    /// <summary>Returns when the data are there, every file hashed.</summary>
    /// <exception cref="DataException">They cannot be had.</exception>
    public async Task<HeldData> TakeAsync(RunOptions run, CancellationToken cancellation)
    {
        var entry = await cache.OpenAsync(_sha256, cancellation);
        try
        {
            var kind = DataArchive.KindOf(_url.AbsolutePath);
            var manifest = entry.ReadManifest();
            if (manifest is null || manifest.IsSingleFile == kind is not null || (await entry.FindMissingAsync(manifest, cancellation)).Count > 0)
            {
                manifest = await FetchAsync(entry, kind, cancellation);
                entry.Complete(manifest);
            }

            entry.Share();
            var root = entry.Root(manifest);
            return new HeldData(run, kind is null ? root : Path.Combine(root, DataArchive.TopFolder(manifest.Files.Select(f => f.Name))), entry);
        }
        catch (Exception e)
        {
            entry.Dispose();
            throw e is IOException or UnauthorizedAccessException ? cache.Unusable(e) : e;
        }
    }

    private async Task<DataManifest> FetchAsync(CacheEntry entry, ArchiveKind? kind, CancellationToken cancellation)
    {
        entry.Clear();
        var path = Path.Combine(entry.Parts, Download);

        // Whole, as its name says, but that was another process's word.
        if (File.Exists(path) && await CacheEntry.HashAsync(path, _ => { }, cancellation) != _sha256)
        {
            File.Delete(path);
        }

        try
        {
            await new PinnedDownload(_url, cache.Host.Time)
            {
                Deadline = Deadline,
                LongestFile = cache.Limit,
                MakeRoom = entry.ReserveAsync,
                Say = cache.Host.Say,
            }.FetchAsync(_url, new PinnedFile(Download, Length: null, _sha256), entry.Parts, cancellation);
        }
        catch (DownloadException e)
        {
            throw new DataException(
                $"The run's data cannot be had: {e.Message}. " + (e is WrongContentException
                    ? "See that data.url and data.sha256 belong together, and that data.cache is large enough."
                    : "See that data.url is right and reached from this host, or put the data on a volume and set data.path."), e);
        }

        var bytes = new FileInfo(path).Length;
        if (kind is not { } packed)
        {
            var name = NameOf(_url);
            await entry.ReserveAsync(bytes, cancellation);
            File.Move(path, entry.At(name));
            return new DataManifest(isSingleFile: true, [new DataFileEntry(name, bytes, _sha256)]);
        }

        var archive = new DataArchive(path, packed, PinnedDownload.NameOf(_url), cache.Host)
        {
            MostBytes = cache.Limit - bytes,
            MakeRoom = (unpacked, ending) => entry.ReserveAsync(bytes + unpacked, ending),
        };
        var manifest = new DataManifest(isSingleFile: false, await archive.UnpackAsync(entry.Content, cancellation));
        File.Delete(path);
        await entry.ReserveAsync(manifest.Bytes, cancellation);
        return manifest;
    }

    /// <summary>What a file at an address is called: people see it in messages.</summary>
    private static string NameOf(Uri url)
    {
        var name = Uri.UnescapeDataString(url.Segments[^1]).Trim('/');
        return DataName.Problem(name) is null && !name.Contains('/') ? name : "data";
    }
}
