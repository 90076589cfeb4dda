using DistTrain.Core.Options;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Data;

/// <summary>What getting data needs of a host.</summary>
public sealed record DataHost
{
    /// <summary>The folder of its cache; null where there is none.</summary>
    public string? Cache { get; init; } = CacheFolder.Find(CacheFolder.Data);

    /// <summary>The clock.</summary>
    public required TimeProvider Time { get; init; }

    /// <summary>Is given sentences on what takes its time.</summary>
    public Action<string> Say { get; init; } = _ => { };

    /// <summary>
    /// Gets a run's data without a coordinator: from <c>data.url</c> into the cache, or they lie at <c>data.path</c>, or the task finds them by itself.
    /// </summary>
    /// <param name="run">A configuration without mistakes.</param>
    /// <param name="cancellation">Gives up; what has arrived is kept.</param>
    /// <exception cref="DataException">They cannot be had; the message says why and what to do.</exception>
    public async Task<HeldData> TakeAsync(RunOptions run, CancellationToken cancellation)
    {
        var (location, _) = DataLocation.Read(run.Data);
        return string.IsNullOrEmpty(location.Url)
            ? new HeldData(run, DataLocation.PathOf(run.Data), lease: null)
            : await new UrlData(location, new DataCache(this, location)).TakeAsync(run, cancellation);
    }
}

/// <summary>Data that lie on this host; the cache keeps them as long as this is not disposed.</summary>
/// <param name="run">The run they belong to.</param>
/// <param name="path">Where they lie; null where the task finds them by itself.</param>
/// <param name="lease">What keeps them there; null where nothing would take them away.</param>
public sealed class HeldData(RunOptions run, string? path, IDisposable? lease) : IDisposable
{
    /// <summary>Where they lie; null where the task finds them by itself.</summary>
    public string? Path => path;

    /// <summary>The run's configuration with <c>data.path</c> where they lie.</summary>
    public RunOptions Run { get; } = DataLocation.At(run, path);

    /// <inheritdoc/>
    public void Dispose() => lease?.Dispose();
}
