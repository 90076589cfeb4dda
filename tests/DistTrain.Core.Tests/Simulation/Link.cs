namespace DistTrain.Core.Tests.Simulation;

/// <summary>One direction of a connection: in order and without loss while it lives, with any delay; where it breaks, what was in flight is lost from some point on.</summary>
/// <typeparam name="T">What it carries.</typeparam>
internal sealed class Link<T> : Source
    where T : class
{
    private readonly SimulatedRun _run;
    private readonly int _from;
    private readonly int _to;
    private readonly Func<T, bool> _deliver;
    private readonly Action _ended;
    private readonly Queue<T> _inFlight = [];
    private bool _isClosed;

    /// <summary>A link on which nothing was sent.</summary>
    /// <param name="run">Where it is.</param>
    /// <param name="from">The sending process.</param>
    /// <param name="to">The receiving process.</param>
    /// <param name="deliver">Takes a message; false where the receiver cannot yet, and calls <see cref="Resume"/> when it can.</param>
    /// <param name="ended">Told when nothing more comes.</param>
    public Link(SimulatedRun run, int from, int to, Func<T, bool> deliver, Action ended)
    {
        (_run, _from, _to, _deliver, _ended) = (run, from, to, deliver, ended);
        Slowness = run.Random.Next(run.Case.LinksPerSlow) == 0 ? run.Random.Next(7) : 0;
    }

    /// <summary>Whether nobody listens any more.</summary>
    public bool IsOver { get; private set; }

    /// <summary>How many messages have not arrived.</summary>
    public int InFlight => _inFlight.Count;

    public void Send(T message)
    {
        if (!_isClosed && !IsOver)
        {
            _inFlight.Enqueue(message);
            _run.Scheduler.Wake(this);
        }
    }

    /// <summary>The sender sends nothing more. What it sent arrives.</summary>
    public void Close()
    {
        if (!_isClosed && !IsOver)
        {
            _isClosed = true;
            _run.Scheduler.Wake(this);
        }
    }

    /// <summary>The sender is gone. What it sent arrives up to some point.</summary>
    public void Break()
    {
        if (_isClosed || IsOver)
        {
            return;
        }

        var (all, kept) = (_inFlight.Count, _run.Random.Next(_inFlight.Count + 1));
        for (var i = 0; i < kept; i++)
        {
            _inFlight.Enqueue(_inFlight.Dequeue());
        }

        for (var i = kept; i < all; i++)
        {
            _inFlight.Dequeue();
        }

        Close();
    }

    /// <summary>The receiver is gone, or does not listen any more.</summary>
    public void Drop()
    {
        IsOver = true;
        _inFlight.Clear();
        _run.Scheduler.Sleep(this);
    }

    /// <summary>The receiver can take what it could not take before.</summary>
    public void Resume()
    {
        if (!IsOver && (_isClosed || _inFlight.Count > 0))
        {
            _run.Scheduler.Wake(this);
        }
    }

    public override void Run()
    {
        if (_run.Network.Holds(this, _from, _to) || _run.IsPaused(this, _to))
        {
            return;
        }

        if (_inFlight.Count > 0)
        {
            if (!_deliver(_inFlight.Peek()))
            {
                _run.Scheduler.Sleep(this);
            }
            else if (!IsOver)
            {
                _inFlight.Dequeue();
                if (_inFlight.Count == 0 && !_isClosed)
                {
                    _run.Scheduler.Sleep(this);
                }
            }
        }
        else
        {
            _run.Scheduler.Sleep(this);
            if (_isClosed)
            {
                IsOver = true;
                _ended();
            }
        }
    }
}
