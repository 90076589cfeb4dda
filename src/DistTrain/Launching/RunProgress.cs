using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Launching;

/// <summary>How far a run has come, as seen by whoever watches it.</summary>
internal sealed class RunProgress
{
    /// <summary>How many halvings of micro-batches count: the largest that can be set holds a single sample after so many.</summary>
    public const int MostHalvings = 20;

    private (long Step, ulong Generation) _last;
    private long _halvings;
    private long _steps;

    /// <summary>Whether it has begun.</summary>
    public bool HasStarted { get; private set; }

    /// <summary>Whether it is over.</summary>
    public bool HasFinished { get; private set; }

    /// <summary>How many steps were completed, those included that were computed again.</summary>
    public long Steps => Interlocked.Read(ref _steps);

    /// <summary>How far it has come, for whoever starts what was killed again: where micro-batches were halved, the next process meets something else than the one before.</summary>
    public long Advances => Steps + Math.Min(MostHalvings, Interlocked.Read(ref _halvings));

    /// <summary>Takes an event. A stream that is opened anew begins with the newest step once more, which counts once.</summary>
    public void Note(V1.RunEvent happened)
    {
        HasStarted |= happened.BodyCase is V1.RunEvent.BodyOneofCase.Started or V1.RunEvent.BodyOneofCase.Step;
        HasFinished |= happened.BodyCase == V1.RunEvent.BodyOneofCase.Finished;
        if (happened is { BodyCase: V1.RunEvent.BodyOneofCase.Happening, Happening.Name: "out-of-memory" })
        {
            Interlocked.Increment(ref _halvings);
        }

        if (happened.BodyCase == V1.RunEvent.BodyOneofCase.Step && _last != (happened.Step.Step, happened.Step.Generation))
        {
            _last = (happened.Step.Step, happened.Step.Generation);
            Interlocked.Increment(ref _steps);
        }
    }
}
