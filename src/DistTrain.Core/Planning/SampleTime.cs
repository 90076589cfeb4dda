namespace DistTrain.Core.Planning;

/// <summary>How long one worker computes on a sample, as measured in training steps. Evaluations do not count: their samples cost less.</summary>
/// <remarks>
/// Of the last three measurements the middle one counts, so that a single step on a machine that was busy for a moment changes nothing, and a real change counts
/// from the second step on in which it is measured. Of two it is the lower one, as disturbances make a step slower, never faster. The first step is
/// warm-up: libraries choose kernels and allocate.
/// </remarks>
public sealed class SampleTime
{
    private const double Least = 1e-9;
    private const double Most = 1e6;
    private readonly List<double> _last = [];
    private bool _isIdle;
    private double? _warmUp;

    /// <summary>Seconds per sample; null before the second step with blocks.</summary>
    public double? Measured => _last.Count switch
    {
        0 => null,
        3 => _last.Order().ElementAt(1),
        _ => _last.Min(),
    };

    /// <summary>Seconds per sample that may be expected: as measured, else as in the first step; null before that.</summary>
    public double? Expected => Measured ?? _warmUp;

    /// <summary>When there was last something to measure.</summary>
    public TimeSpan MeasuredAt { get; private set; }

    /// <summary>Takes what a worker says of a training step.</summary>
    /// <param name="samples">Samples of its blocks; 0 where it had none, which says nothing of its speed.</param>
    /// <param name="seconds">What they took. Numbers that no clock shows are passed over.</param>
    /// <param name="now">The time.</param>
    public void Take(double samples, double seconds, TimeSpan now)
    {
        if (!(samples > 0))
        {
            _isIdle = true;
            return;
        }

        if (!double.IsFinite(seconds) || seconds <= 0)
        {
            return;
        }

        var time = Math.Clamp(seconds / samples, Least, Most);
        if (_warmUp is null)
        {
            _warmUp = time;
            return;
        }

        if (_isIdle && Measured is { } before)
        {
            // What it did long ago must not outvote what it does now.
            _last.Clear();
            _last.Add(before);
        }

        if (_last.Count == 3)
        {
            _last.RemoveAt(0);
        }

        _last.Add(time);
        (_isIdle, MeasuredAt) = (false, now);
    }
}
