namespace DistTrain.Core.Data;

/// <summary>A data set in a host's cache.</summary>
/// <param name="Key">Its name there.</param>
/// <param name="Bytes">How much room it takes, or is going to take while it is fetched.</param>
/// <param name="LastUse">When a process last began to use it.</param>
/// <param name="InUse">Whether a process uses it now.</param>
public sealed record CachedData(string Key, long Bytes, DateTimeOffset LastUse, bool InUse);

/// <summary>Keeps a host's cache within its limit: what was used longest ago goes first, and nothing that is in use.</summary>
public static class CacheBound
{
    /// <summary>What has to go so that one data set finds room.</summary>
    /// <param name="others">All data sets but that one.</param>
    /// <param name="needed">The room it takes.</param>
    /// <param name="limit">Most bytes of all together.</param>
    /// <returns>The keys to evict, in order, and how many bytes are missing even so; 0 where it then fits.</returns>
    public static (IReadOnlyList<string> Evicted, long Missing) MakeRoom(IEnumerable<CachedData> others, long needed, long limit)
    {
        var all = others.ToList();
        var over = all.Sum(c => (decimal)c.Bytes) + needed - limit;
        var evicted = new List<string>();
        foreach (var cached in all.Where(c => !c.InUse && c.Bytes > 0).OrderBy(c => c.LastUse).ThenBy(c => c.Key, StringComparer.Ordinal))
        {
            if (over <= 0)
            {
                break;
            }

            evicted.Add(cached.Key);
            over -= cached.Bytes;
        }

        return over <= 0 ? (evicted, 0) : ([], (long)Math.Min(over, long.MaxValue));
    }
}
