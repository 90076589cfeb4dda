using DistTrain.Core.Numerics;

namespace DistTrain.Core.BatchScience;

/// <summary>
/// The moments of the last steps of a run, plain and preconditioned, and the noise scales that follow. What it says of a step depends on the steps before it and the seed alone: not on how often
/// it was asked, nor on steps that were computed twice. Not safe for concurrent use.
/// </summary>
/// <param name="seed">The run's seed.</param>
public sealed class NoiseTrack(ulong seed)
{
    private readonly List<Entry> _entries = [];

    /// <summary>Notes a step; the ones from it on, where there are any, are forgotten.</summary>
    /// <param name="step">The step, from 1.</param>
    /// <param name="plain">Of the gradient; null where it has none.</param>
    /// <param name="preconditioned">Of the gradient as the rule scales it; null where it has none.</param>
    public void Add(long step, GradientMoments? plain, GradientMoments? preconditioned)
    {
        var end = _entries.Count;
        while (end > 0 && _entries[end - 1].Step >= step)
        {
            end--;
        }

        _entries.RemoveRange(end, _entries.Count - end);
        if (plain is not null)
        {
            _entries.Add(new Entry(step, plain.Value, preconditioned));
        }
    }

    /// <summary>Forgets what <see cref="Of"/> does not look at any more. To be called where steps that went before are not going to be asked for again.</summary>
    public void Trim()
    {
        if (_entries.Count > 2 * NoiseScale.Window)
        {
            _entries.RemoveRange(0, _entries.Count - NoiseScale.Window);
        }
    }

    /// <summary>Forgets everything.</summary>
    public void Clear() => _entries.Clear();

    /// <summary>The noise scales after the newest step; null where no step has moments, the second also where the rule scales nothing.</summary>
    public (NoiseScale? Plain, NoiseScale? Preconditioned) Of()
    {
        if (_entries.Count == 0)
        {
            return (null, null);
        }

        var recent = _entries[Math.Max(0, _entries.Count - NoiseScale.Window)..];
        var key = Hash64.NoiseKey(seed, recent[^1].Step);
        List<GradientMoments> scaled = [.. recent.Where(e => e.Preconditioned is not null).Select(e => e.Preconditioned!.Value)];
        return (NoiseScale.Of([.. recent.Select(e => e.Plain)], key), scaled.Count == 0 ? null : NoiseScale.Of(scaled, key));
    }

    private readonly record struct Entry(long Step, GradientMoments Plain, GradientMoments? Preconditioned);
}
