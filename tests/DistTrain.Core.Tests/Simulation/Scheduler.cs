namespace DistTrain.Core.Tests.Simulation;

/// <summary>Something that can happen next: the head of a queue, a worker's next block.</summary>
internal abstract class Source
{
    /// <summary>Its place among those that are ready; -1 where it is not.</summary>
    public int Place { get; set; } = -1;

    /// <summary>It is passed over all but once in 2^<see cref="Slowness"/> times.</summary>
    public int Slowness { get; init; }

    /// <summary>Lets one thing happen.</summary>
    public abstract void Run();
}

/// <summary>The one thread and the clock of a simulation: what is ready happens in an order of the seed's choosing, and time passes by it.</summary>
internal sealed class Scheduler(Random random)
{
    /// <summary>How long a message takes on average, however many there are, where nothing slows it down.</summary>
    private const long TypicalDelayTicks = 20 * TimeSpan.TicksPerMillisecond;

    private const int Tries = 6;

    private readonly List<Source> _ready = [];
    private readonly PriorityQueue<Action, (TimeSpan At, long Order)> _timers = new();
    private long _order;

    public TimeSpan Now { get; private set; }

    /// <summary>How much has happened.</summary>
    public long Events { get; private set; }

    public void Wake(Source source)
    {
        if (source.Place < 0)
        {
            source.Place = _ready.Count;
            _ready.Add(source);
        }
    }

    public void Sleep(Source source)
    {
        if (source.Place < 0)
        {
            return;
        }

        var last = _ready[^1];
        (last.Place, _ready[source.Place]) = (source.Place, last);
        _ready.RemoveAt(_ready.Count - 1);
        source.Place = -1;
    }

    public void After(TimeSpan delay, Action happens) => _timers.Enqueue(happens, (Now + delay, _order++));

    /// <summary>Lets one thing happen: a timer that is due, or whatever the seed chooses of what is ready.</summary>
    public void Step()
    {
        Events++;
        var hasTimer = _timers.TryPeek(out var timer, out var due);
        if (hasTimer && (due.At <= Now || _ready.Count == 0))
        {
            _timers.Dequeue();
            Now = due.At > Now ? due.At : Now;
            timer!();
            return;
        }

        var source = _ready[random.Next(_ready.Count)];
        for (var tries = 0; source.Slowness > 0 && tries < Tries && random.Next(1 << source.Slowness) > 0; tries++)
        {
            source = _ready[random.Next(_ready.Count)];
        }

        Now += TimeSpan.FromTicks(random.NextInt64(2 * TypicalDelayTicks / Math.Max(10, _ready.Count)));
        source.Run();
    }
}
