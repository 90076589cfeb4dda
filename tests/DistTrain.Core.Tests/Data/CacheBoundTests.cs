using CsCheck;
using DistTrain.Core.Data;

namespace DistTrain.Core.Tests.Data;

/// <summary>A host's cache stays within its limit, and nothing that is in use goes.</summary>
public sealed class CacheBoundTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private static readonly Gen<CachedData[]> Caches =
        Gen.Select(Gen.Long[0, 50], Gen.Int[0, 20], Gen.Bool, (bytes, use, inUse) => (bytes, use, inUse)).Array[0, 12]
            .Select(all => all.Select((c, i) => new CachedData($"{i}", c.bytes, Start.AddMinutes(c.use), c.inUse)).ToArray());

    [Fact]
    public void What_was_used_longest_ago_goes_first()
    {
        CachedData[] cached = [Of("new", 4, 9), Of("old", 4, 1), Of("older", 4, 0, inUse: true), Of("middle", 4, 5)];
        Assert.Equal(["old"], CacheBound.MakeRoom(cached, 4, 16).Evicted);
        Assert.Equal(["old", "middle"], CacheBound.MakeRoom(cached, 5, 16).Evicted);
        Assert.Equal(([], 1L), CacheBound.MakeRoom(cached, 13, 16));
    }

    [Fact]
    public void Room_is_made_with_as_little_as_possible_or_nothing_goes() => Gen.Select(Caches, Gen.Long[1, 60], Gen.Long[60, 200]).Always(
        (cached, needed, limit) =>
        {
            var (evicted, missing) = CacheBound.MakeRoom(cached, needed, limit);
            var gone = cached.Where(c => evicted.Contains(c.Key)).ToList();
            Assert.DoesNotContain(gone, c => c.InUse);
            var free = limit - cached.Sum(c => c.Bytes) + gone.Sum(c => c.Bytes);
            if (missing > 0)
            {
                Assert.Empty(evicted);
                Assert.Equal(missing, needed - (limit - cached.Where(c => c.InUse).Sum(c => c.Bytes)));
                return;
            }

            Assert.True(free >= needed);
            Assert.True(evicted.Count == 0 || free - cached.Single(c => c.Key == evicted[^1]).Bytes < needed);
            var kept = cached.Where(c => !c.InUse && c.Bytes > 0 && !evicted.Contains(c.Key)).ToList();
            Assert.True(gone.Count == 0 || kept.Count == 0 || gone.Max(c => c.LastUse) <= kept.Min(c => c.LastUse));
        },
        samples: 2000);

    private static CachedData Of(string key, long bytes, int minute, bool inUse = false) => new(key, bytes, Start.AddMinutes(minute), inUse);
}
