using System.Globalization;
using DistTrain.Core.Data;
using DistTrain.Core.Options;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Data;

/// <summary>
/// The data sets that a host keeps, within <c>data.cache</c>. Each is a folder named by a hash of what it holds, so it can be wanted by any number of processes and
/// runs, and never be out of date.
/// </summary>
/// <remarks>
/// Beside the folder KEY lie <c>KEY.lock</c>, held alone by who fetches, <c>KEY.use</c>, shared by all who read and touched when they begin, and <c>KEY.size</c>, the room it
/// takes or is going to take. Nobody evicts without holding <c>KEY.use</c> alone.
/// </remarks>
/// <param name="host">The host.</param>
/// <param name="location">How much it may keep.</param>
public sealed class DataCache(DataHost host, DataLocation location)
{
    private static readonly TimeSpan Notice = TimeSpan.FromSeconds(2);

    /// <summary>How long another process of this host may take to fetch the same data.</summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromHours(6);

    /// <summary>Most bytes of all.</summary>
    internal long Limit => location.CacheBytes;

    internal DataHost Host => host;

    private string Folder => host.Cache ?? throw new DataException(
        $"There is no folder to keep the run's data in, as this user has no home: set the variable {CacheFolder.Variable} to one.");

    /// <summary>Opens a data set to be fetched or read, alone until <see cref="CacheEntry.Share"/>.</summary>
    /// <param name="key">A hash of what it holds.</param>
    /// <param name="cancellation">Ends the wait for another process that fetches it.</param>
    /// <exception cref="DataException">The cache cannot be used.</exception>
    public async Task<CacheEntry> OpenAsync(string key, CancellationToken cancellation)
    {
        using var late = new CancellationTokenSource(Deadline, host.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellation);
        FileStream? use = null;
        try
        {
            Directory.CreateDirectory(Folder);
            use = await FileLock.TakeAsync(At(key, "use"), isShared: true, host.Time, either.Token);
            File.SetLastWriteTimeUtc(At(key, "use"), host.Time.GetUtcNow().UtcDateTime);
            var taking = FileLock.TakeAsync(At(key, "lock"), isShared: false, host.Time, either.Token);
            if (await Task.WhenAny(taking, Task.Delay(Notice, host.Time, either.Token)) != taking)
            {
                host.Say("Another process of this host fetches the same data; waiting for it.");
            }

            return new CacheEntry(this, key, Path.Combine(Folder, key), use, await taking);
        }
        catch (Exception e)
        {
            if (use is not null)
            {
                await use.DisposeAsync();
            }

            throw e switch
            {
                OperationCanceledException when !cancellation.IsCancellationRequested => new DataException(
                    $"Another process of this host has been fetching the run's data for {Duration.Format(Deadline)}: end it, and start this one again.", e),
                IOException or UnauthorizedAccessException => Unusable(e),
                _ => e,
            };
        }
    }

    /// <summary>Makes room for a data set, evicting others that nobody uses; what was used longest ago goes first.</summary>
    /// <exception cref="DataException">There is not so much room.</exception>
    internal async Task ReserveAsync(string key, long bytes, CancellationToken cancellation)
    {
        if (bytes > Limit)
        {
            throw new DataException(
                $"The run's data take {ByteSize.Format(bytes)}, and data.cache lets this host keep {ByteSize.Format(Limit)}: raise data.cache (it is '{location.Cache}'), "
                + "or put the data on a volume and set data.path.");
        }

        using var late = new CancellationTokenSource(Deadline, host.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellation);
        var held = new Dictionary<string, FileStream>();
        try
        {
            using var turn = await FileLock.TakeAsync(Path.Combine(Folder, "cache.lock"), isShared: false, host.Time, either.Token);
            var others = new List<CachedData>();
            foreach (var other in Directory.EnumerateDirectories(Folder).Select(f => Path.GetFileName(f)).Where(k => k != key))
            {
                var alone = FileLock.TryTake(At(other, "use"), isShared: false);
                if (alone is not null)
                {
                    held.Add(other, alone);
                }

                others.Add(new CachedData(other, SizeOf(other), File.GetLastWriteTimeUtc(At(other, "use")), InUse: alone is null));
            }

            var (evicted, missing) = CacheBound.MakeRoom(others, bytes, Limit);
            if (missing > 0)
            {
                throw new DataException(
                    $"The run's data take {ByteSize.Format(bytes)}, and in {Folder} {ByteSize.Format(missing)} of that are missing: data.cache is '{location.Cache}', and other processes use "
                    + "the rest. Raise data.cache, or end them.");
            }

            foreach (var old in evicted)
            {
                Directory.Delete(Path.Combine(Folder, old), recursive: true);
                File.Delete(At(old, "size"));
            }

            File.WriteAllText(At(key, "size"), bytes.ToString(CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unusable(e);
        }
        finally
        {
            foreach (var alone in held.Values)
            {
                await alone.DisposeAsync();
            }
        }
    }

    /// <summary>What to say where the disk does not take, or give, what it should.</summary>
    public DataException Unusable(Exception e) => new(
        $"The cache {Folder} cannot be used ({e.Message.TrimEnd('.')}): make room there and let this user write to it, or set {CacheFolder.Variable} to another folder.", e);

    private string At(string key, string what) => Path.Combine(Folder, $"{key}.{what}");

    /// <summary>What a data set takes by its note; one whose note is lost is measured.</summary>
    private long SizeOf(string key) =>
        File.Exists(At(key, "size")) && long.TryParse(File.ReadAllText(At(key, "size")), NumberStyles.None, CultureInfo.InvariantCulture, out var noted)
            ? noted
            : DataFolder.FilesBelow(Path.Combine(Folder, key)).Sum(f => new FileInfo(f).Length);
}
