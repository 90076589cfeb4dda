namespace DistTrain.Core.Tuning;

/// <summary>
/// How long a pass takes, from some that were computed one after the other. The fastest counts: whatever else the machine does only ever makes one slower. Passes of less than a
/// millisecond are repeated until one of them was left alone, as a size is chosen for good. Pure: somebody else computes and times.
/// </summary>
public sealed class TimedPasses
{
    /// <summary>How many count at least, however long they take.</summary>
    public const int Fewest = 2;

    /// <summary>How many count at most, by a clock however coarse.</summary>
    public const int Most = 1000;

    /// <summary>After so long no more are wanted.</summary>
    public static readonly TimeSpan Enough = TimeSpan.FromMilliseconds(100);

    private bool _isWarm;
    private int _count;
    private TimeSpan _spent;

    /// <summary>Whether no more are wanted.</summary>
    public bool AreEnough => _count >= Fewest && (_spent >= Enough || _count >= Most);

    /// <summary>The time of the fastest that counts.</summary>
    public TimeSpan Fastest { get; private set; } = TimeSpan.MaxValue;

    /// <summary>Takes the next one. The first plans its kernels and finds its memory: it does not count.</summary>
    public void Add(TimeSpan time)
    {
        if (!_isWarm)
        {
            _isWarm = true;
            return;
        }

        _count++;
        _spent += time;
        Fastest = time < Fastest ? time : Fastest;
    }
}
